"""Settings: where a value comes from, which part is outside, and one sentence for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.environment import AUDIO_NAMES, load_audio_settings
from pipeline.errors import Misuse
from pipeline.precedence import REAL_LINQ, STACK_FILE, outside_parts
from pipeline.recordings import AudioSettings
from pipeline.settings import Settings, checked, load_settings

STACK = {
    "MEMOLINE_BROKER_URL": "redis://:secret@127.0.0.1:7001/0",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:7002",
    "AWS_ACCESS_KEY_ID": "stack-key",
    "AWS_SECRET_ACCESS_KEY": "stack-secret",
    "MEMOLINE_BUCKET": "memoline-memos",
    "MEMOLINE_CDN_URL": "https://localhost:7003",
    "LINQ_API_V3_BASE_URL": "http://127.0.0.1:7004",
    "LINQ_API_V3_API_KEY": "sandbox-key",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home in which a stack runs."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / STACK_FILE).write_text("".join(f"{name}={value}\n" for name, value in STACK.items()))
    return folder


@pytest.mark.parametrize(
    ("value", "place"), [("off", "off"), ("beside", "beside"), ("result", "result/"), ("a/b/", "a/b/"), ("/x/", "x/")]
)
def test_results_lie_beside_or_under_a_prefix(value: str, place: str) -> None:
    """One prefix, however its slashes are written."""
    assert checked({"MEMOLINE_RESULTS": value}).results == place


@pytest.mark.parametrize("value", ["m", "m/x", "cache/", "intent/", "receipt/a", "../x", "", "a b", "a//b"])
def test_results_are_never_served_nor_mixed_with_ours(value: str) -> None:
    """What lies under `m/` is public."""
    with pytest.raises(Misuse) as caught:
        checked({"MEMOLINE_RESULTS": value})
    assert "MEMOLINE_RESULTS" in caught.value.message


def test_defaults_hold_without_any_setting(tmp_path: Path) -> None:
    """With nothing set the ledger is SQLite under the default home, made absolute."""
    settings = load_settings({}, tmp_path)
    assert settings.home.is_absolute()
    assert settings.ledger_url.startswith("sqlite:////")
    assert (settings.max_bytes, settings.overflow, settings.bitrate_kbps) == (10_000_000, "compress", 64)


def test_the_running_stack_is_used(home: Path, tmp_path: Path) -> None:
    """What the stack wrote about itself counts where nothing else is set."""
    settings = load_settings({"MEMOLINE_HOME": str(home)}, tmp_path)
    assert settings.bucket == "memoline-memos"
    assert settings.need("linq_api_key") == "sandbox-key"


def test_stray_aws_keys_do_not_spoil_the_embedded_s3(home: Path, tmp_path: Path) -> None:
    """A user's own AWS keys do not decide that S3 is outside, and are not used against ours."""
    explicit = {"MEMOLINE_HOME": str(home), "AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "mine"}
    settings = load_settings(explicit, tmp_path)
    assert settings.aws_access_key_id == "stack-key"
    assert settings.need("aws_secret_access_key") == "stack-secret"


def test_an_outside_bucket_drops_the_stacks_s3_values(home: Path, tmp_path: Path) -> None:
    """With another bucket nothing of the embedded S3 leaks into the real one's client."""
    explicit = {"MEMOLINE_HOME": str(home), "MEMOLINE_BUCKET": "real", "AWS_ACCESS_KEY_ID": "mine"}
    settings = load_settings(explicit, tmp_path)
    assert settings.bucket == "real"
    assert settings.s3_endpoint_url is None
    assert settings.aws_access_key_id == "mine"
    assert settings.aws_secret_access_key is None


def test_values_equal_to_the_stacks_own_count_as_ours() -> None:
    """After `eval "$(memoline env)"` nothing is outside."""
    assert outside_parts(STACK, STACK) == frozenset()


def test_a_linq_key_alone_means_the_real_api(home: Path, tmp_path: Path) -> None:
    """A key that is not the sandbox's goes to the real API, never to the sandbox, and the other way round."""
    settings = load_settings({"MEMOLINE_HOME": str(home), "LINQ_API_V3_API_KEY": "real-key"}, tmp_path)
    assert settings.linq_base_url == REAL_LINQ
    assert settings.need("linq_api_key") == "real-key"


def test_a_webhook_secret_alone_is_kept(tmp_path: Path) -> None:
    """A web process that receives webhooks needs no key to send with."""
    assert load_settings({"LINQ_WEBHOOK_SECRET": "whsec_c2VjcmV0"}, tmp_path).need("webhook_secret")


def test_the_environment_wins_over_dotenv(tmp_path: Path) -> None:
    """`.env` of the working folder is read, and the environment goes before it."""
    (tmp_path / ".env").write_text("MEMOLINE_MAX_BYTES=60000\nMEMOLINE_OVERFLOW=cut\n")
    settings = load_settings({"MEMOLINE_MAX_BYTES": "70000"}, tmp_path)
    assert (settings.max_bytes, settings.overflow) == (70_000, "cut")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MEMOLINE_CDN_URL", "http://cdn.example"),
        ("MEMOLINE_CDN_URL", "ftp://cdn.example"),
        ("AWS_ENDPOINT_URL_S3", "http://s3.example"),
        ("AWS_ENDPOINT_URL_S3", "nonsense"),
        ("LINQ_API_V3_BASE_URL", "http://linq.example"),
        ("MEMOLINE_BROKER_URL", "amqp://localhost"),
        ("MEMOLINE_DATABASE_URL", "mysql://localhost/x"),
        ("MEMOLINE_MAX_BYTES", "ten"),
        ("MEMOLINE_MAX_BYTES", "1"),
        ("MEMOLINE_OVERFLOW", "squeeze"),
        ("MEMOLINE_FFMPEG", "/no/such/ffmpeg"),
        ("MEMOLINE_CA_BUNDLE", "/no/such/ca.pem"),
        ("MEMOLINE_HTTP_PORT", "99999"),
        ("MEMOLINE_CDN_SIGNING_KEY_ID", "K1"),
        ("MEMOLINE_CDN_SIGNING_KEY_ID", "no id"),
        ("MEMOLINE_CDN_SIGNING_KEY", "a key without an id"),
        ("MEMOLINE_CDN_URL_TTL_S", "1"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_the_setting(tmp_path: Path, name: str, value: str) -> None:
    """Each bad setting has the code `bad-setting`, exit status 2, its name, and one line."""
    with pytest.raises(Misuse) as caught:
        load_settings({name: value}, tmp_path)
    assert caught.value.code == "bad-setting"
    assert caught.value.exit_status == 2
    assert caught.value.message.startswith(name)
    assert "\n" not in caught.value.message


def test_a_bad_setting_never_shows_a_password(tmp_path: Path) -> None:
    """The sentence about a wrong URL masks what is secret in it."""
    with pytest.raises(Misuse) as caught:
        load_settings({"MEMOLINE_BROKER_URL": "amqp://user:hunter2@host"}, tmp_path)
    assert "hunter2" not in str(caught.value)


def test_secrets_are_masked_in_the_repr(home: Path, tmp_path: Path) -> None:
    """Printing the settings by accident shows no secret of S3 or Linq."""
    shown = repr(load_settings({"MEMOLINE_HOME": str(home)}, tmp_path))
    assert "stack-secret" not in shown
    assert "sandbox-key" not in shown


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """Needing a value that nobody set says which, and what to do."""
    with pytest.raises(Misuse, match="MEMOLINE_BUCKET is not set") as caught:
        load_settings({}, tmp_path).need("bucket")
    assert caught.value.code == "missing-setting"


def test_settings_survive_the_way_through_an_environment(home: Path, tmp_path: Path) -> None:
    """A child process that is given `as_environment` has the same settings."""
    settings = load_settings({"MEMOLINE_HOME": str(home), "MEMOLINE_SEND_TIMEOUT_S": "2.5"}, tmp_path)
    assert load_settings(settings.as_environment(), tmp_path / "elsewhere") == settings


def test_the_audio_step_heeds_its_own_settings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each field has its setting, checked by the same rules; a mistake in another setting does not stop it."""
    monkeypatch.setenv("MEMOLINE_BROKER_URL", "nonsense")
    assert load_audio_settings() == AudioSettings()
    aliases = {field.alias for field in Settings.model_fields.values()}
    assert aliases >= AUDIO_NAMES
    Path(".env").write_text("MEMOLINE_OVERFLOW=split\nMEMOLINE_MAX_BYTES=60000\n")
    monkeypatch.setenv("MEMOLINE_MAX_BYTES", "70000")
    assert load_audio_settings() == AudioSettings(overflow="split", max_bytes=70_000)
    monkeypatch.setenv("MEMOLINE_MAX_BYTES", "7")
    with pytest.raises(Misuse, match="MEMOLINE_MAX_BYTES"):
        load_audio_settings()


@pytest.mark.parametrize(
    ("endpoint", "allowed"),
    [("http://127.0.0.1:4566", True), (None, False), ("https://sqs.example.com", False)],
)
def test_a_queue_on_this_machine_may_be_named_by_any_host(tmp_path: Path, endpoint: str | None, allowed: bool) -> None:
    """Local SQS servers put a host name of their own into the queue's URL; what is spoken to is the endpoint."""
    url = "http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/inbox"
    explicit = {"MEMOLINE_INBOX_QUEUE_URL": url} | ({"AWS_ENDPOINT_URL_SQS": endpoint} if endpoint else {})
    if allowed:
        assert load_settings(explicit, tmp_path).inbox_queue_url == url
    else:
        with pytest.raises(Misuse, match="MEMOLINE_INBOX_QUEUE_URL"):
            load_settings(explicit, tmp_path)


def test_tags_that_stay_are_a_list_of_known_names() -> None:
    """The list is read with blanks and capitals; another name is refused, and told which are known."""
    assert load_settings({"MEMOLINE_KEEP_TAGS": " Title, artist,title"}).audio.keep_tags == ("title", "artist")
    with pytest.raises(Misuse) as caught:
        load_settings({"MEMOLINE_KEEP_TAGS": "title,gps"})
    assert caught.value.code == "bad-setting" and "'gps'" in caught.value.message


def test_quiet_hours_need_their_zone() -> None:
    """Where only one of both is said, or one of them is none, it is named."""
    good = load_settings({"MEMOLINE_QUIET_HOURS": "21:00-08:00", "MEMOLINE_QUIET_ZONE": "Europe/Berlin"})
    assert good.quiet is not None and (good.quiet.zone, good.quiet.lanes) == ("Europe/Berlin", ("backfill",))
    assert load_settings({}).quiet is None
    for hours, zone, name in (
        ("21:00-08:00", "", "MEMOLINE_QUIET_ZONE"),
        ("21:00-08:00", "Berlin", "MEMOLINE_QUIET_ZONE"),
        ("9-5", "Europe/Berlin", "MEMOLINE_QUIET_HOURS"),
    ):
        with pytest.raises(Misuse) as caught:
            load_settings({"MEMOLINE_QUIET_HOURS": hours, "MEMOLINE_QUIET_ZONE": zone})
        assert caught.value.code == "bad-setting" and name in caught.value.message
