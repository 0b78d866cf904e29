"""`memoline webhooks` against the Linq sandbox and a receiver that is really served."""

from __future__ import annotations

import json
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import linq
import pytest
from pydantic import SecretStr

from infra.local.sandbox.companions import MemoServer, WebhookReceiver
from infra.local.sandbox.pytest_plugin import LinqSandbox
from infra.local.subscription import subscribe
from pipeline.sending.webhooks import NEEDED_EVENTS
from pipeline.settings import Settings
from tests.support.embedded import Ran
from tests.support.waiting import eventually
from tests.support.web import TOKEN, Served, serving
from workers.cli.guard import run as run_in_process
from workers.webhook_secrets import FILE, SecretBook, read_kept

Run = Callable[..., Ran]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def web(home: Path) -> Iterator[Served]:
    """A receiver that knows no secret but those that are kept in its home."""
    with serving(Settings(home=home, api_token=SecretStr(TOKEN))) as served:
        yield served


@pytest.fixture
def run(
    home: Path, linq_sandbox: LinqSandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """`memoline webhooks …` with the sandbox as Linq."""
    monkeypatch.setenv("MEMOLINE_HOME", str(home))
    monkeypatch.setenv("LINQ_API_V3_BASE_URL", linq_sandbox.base_url)
    monkeypatch.setenv("LINQ_API_V3_API_KEY", linq_sandbox.api_key)

    def webhooks(*arguments: str, as_json: bool = True) -> Ran:
        capsys.readouterr()
        status = run_in_process(["webhooks", *arguments, *(["--json"] if as_json else [])])
        said = capsys.readouterr()
        rows = [json.loads(line) for line in said.out.splitlines()] if as_json else []
        return Ran(status=status, rows=rows, stdout=said.out, stderr=said.err)

    return webhooks


def levels(checked: Ran) -> dict[str, str]:
    return {row["check"]: row["level"] for row in checked.rows}


def secrets_of(home: Path) -> list[str]:
    return SecretBook(Settings(home=home)).known()


def test_made_once_checked_and_removed(run: Run, web: Served, home: Path) -> None:
    """The secret is kept for its owner only, and told to nobody; making it again changes nothing."""
    assert run("check").rows[0]["level"] == "warn"
    made = run("create", "--url", web.url)
    assert made.status == 0
    row = made.rows[0]
    assert row["target_url"] == f"{web.url}/webhooks/linq?version=2026-02-03"
    assert (row["new"], row["active"], row["secret_file"]) == (True, True, str(home / FILE))
    assert stat.S_IMODE((home / FILE).stat().st_mode) == 0o600
    checked = run("check")
    assert checked.status == 0, checked.stdout
    assert set(levels(checked).values()) == {"ok"}
    assert {"subscription", "version", "events", "receiver", "signature", "Linq's clock"} <= levels(checked).keys()
    again = run("create", "--url", web.url + "/")
    assert (again.rows[0]["new"], again.rows[0]["subscription_id"]) == (False, row["subscription_id"])
    listed = run("list")
    assert [(one["subscription_id"], one["ours"]) for one in listed.rows] == [(row["subscription_id"], True)]
    said = "".join(ran.stdout + ran.stderr for ran in (made, checked, again, listed, run("check", as_json=False)))
    assert not [secret for secret in secrets_of(home) if secret in said]
    removed = run("remove")
    assert [one["subscription_id"] for one in removed.rows] == [row["subscription_id"]]
    assert run("list").rows == []
    assert run("remove").status == 1
    assert len(secrets_of(home)) == 1, "what it signed is taken for a while"


def test_lines_that_are_named_later_count(run: Run, web: Served, linq_sandbox: LinqSandbox) -> None:
    """Made for one line, then for two; without a word about lines they stay as they are, and so do the events."""
    first = run("create", "--url", web.url, "--line", "+15550001").rows[0]
    both = ["--line", "+15550001", "--line", "+15550002"]
    assert run("create", "--url", web.url, *both).rows[0]["subscription_id"] == first["subscription_id"]
    run("create", "--url", web.url)
    (one,) = linq_sandbox.client().webhook_subscriptions.list().subscriptions
    assert one.phone_numbers == ["+15550001", "+15550002"]
    assert set(NEEDED_EVENTS) <= set(one.subscribed_events)


def test_what_a_rotation_made_outlives_a_restart_of_the_embedded_linq(
    run: Run, web: Served, linq_sandbox: LinqSandbox
) -> None:
    """The supervisor looks after the subscription at each start: one that was rotated is left as it is."""
    target, at = f"{web.url}/webhooks/linq?version=2026-02-03", (linq_sandbox.base_url, linq_sandbox.api_key)
    secret = run("create", "--url", web.url, "--show-secret").rows[0]["signing_secret"]
    assert subscribe(*at, target, secret) == secret
    rotated = run("rotate").rows[0]["subscription_id"]
    assert subscribe(*at, target, secret) == secret
    assert [row["subscription_id"] for row in run("list").rows] == [rotated]
    moved = target.replace("127.0.0.1", "localhost")
    assert subscribe(*at, moved, secret) not in ("", secret)
    assert [row["target_url"] for row in run("list").rows] == [moved], "a receiver that moved gets its own"


def test_a_rotation_loses_nothing(
    run: Run, web: Served, home: Path, linq_sandbox: LinqSandbox, linq_memos: MemoServer
) -> None:
    """The receiver takes the new secret without a restart, then the old subscription goes; its secret counts on."""
    first = run("create", "--url", web.url, "--show-secret").rows[0]
    rotated = run("rotate", "--show-secret").rows[0]
    assert rotated["removed"] == [first["subscription_id"]]
    assert rotated["signing_secret"] != first["signing_secret"]
    assert secrets_of(home) == [rotated["signing_secret"], first["signing_secret"]]
    assert [one["subscription_id"] for one in run("list").rows] == [rotated["subscription_id"]]
    assert set(levels(run("check")).values()) == {"ok"}
    assert run("create", "--url", web.url).rows[0]["new"] is False
    send(linq_sandbox, linq_memos)
    eventually(lambda: web.ledger.report_counts()["delivered"] == 1, "webhooks come by the new subscription")
    assert run("rotate").rows[0]["removed"] == [rotated["subscription_id"]]
    assert len(read_kept(home)) == 3


def send(sandbox: LinqSandbox, memos: MemoServer) -> None:
    sandbox.client().chats.send_voicememo(str(uuid.uuid4()), voice_memo_url=memos.host())


def test_a_receiver_that_does_not_know_the_secret_keeps_both(
    run: Run, linq_webhooks: WebhookReceiver, home: Path
) -> None:
    """The old subscription stays until the receiver takes the new secret; then the same command ends the rotation."""
    old = run("create", "--url", linq_webhooks.url).rows[0]["subscription_id"]
    begun = run("rotate", "--url", linq_webhooks.url)
    assert (begun.status, begun.rows[0]["error"]["code"]) == (1, "receiver-not-ready")
    assert len(run("list").rows) == 2
    with serving(Settings(home=home, api_token=SecretStr(TOKEN))) as web:
        client = _client_of(run)
        for one in client.webhook_subscriptions.list().subscriptions:
            moved = one.target_url.replace(linq_webhooks.url, f"{web.url}/webhooks/linq")
            client.webhook_subscriptions.update(one.id, target_url=moved)
        assert levels(run("check"))["subscription"] == "warn"
        ended = run("rotate")
        assert ended.rows[0]["removed"] == [old]
        assert len(run("list").rows) == 1
        assert run("check").status == 0


def _client_of(_run: Run) -> linq.LinqAPIV3:
    return linq.LinqAPIV3()  # its settings are in the environment


def test_what_is_wrong_is_said(run: Run, web: Served, home: Path) -> None:
    """Each with a level, and exit status 4 where it keeps webhooks from working."""
    made = run("create", "--url", web.url).rows[0]
    client = _client_of(run)
    identity = made["subscription_id"]
    client.webhook_subscriptions.update(identity, subscribed_events=["message.sent"], is_active=False)
    found = run("check")
    assert found.status == 4
    assert (levels(found)["subscription"], levels(found)["events"]) == ("fail", "fail")
    assert run("create", "--url", web.url).rows[0]["new"] is False
    assert set(levels(run("check")).values()) == {"ok"}, "making it again mended it"
    client.webhook_subscriptions.update(identity, phone_numbers=["+15550001"], target_url=f"{web.url}/webhooks/linq")
    found = run("check")
    assert (found.status, levels(found)["lines"], levels(found)["version"]) == (0, "warn", "warn")
    kept = (home / FILE).read_text()
    (home / FILE).write_text(kept.replace(read_kept(home)[0].secret, "whsec_" + "A" * 43 + "="))
    assert run("check").status == 0, "receiver and check read the same file"
    (home / FILE).unlink()
    found = run("check")
    assert (found.status, levels(found)["secret"]) == (4, "fail")
    refused = run("create", "--url", web.url)
    assert (refused.status, refused.rows[0]["error"]["code"]) == (1, "secret-unknown")
    assert run("rotate").status == 0, "a lost secret is mended by a new one"
    assert run("check").status == 0


def test_a_receiver_of_somebody_else_is_noticed(run: Run, linq_webhooks: WebhookReceiver) -> None:
    """One that answers 200 to anything is not Memoline's."""
    run("create", "--url", linq_webhooks.url)
    found = run("check")
    assert (found.status, levels(found)["receiver"], levels(found)["signature"]) == (4, "fail", "fail")


def test_an_unreachable_receiver_is_noticed(run: Run) -> None:
    """With what the connection came to."""
    run("create", "--url", "http://127.0.0.1:9")
    found = run("check")
    assert (found.status, levels(found)["receiver"]) == (4, "fail")


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (("create", "--url", "http://example.org"), 2, "bad-url"),
        (("create", "--url", "https://user:pw@example.org"), 2, "bad-url"),
        (("create",), 2, "usage"),
        (("rotate",), 1, "no-subscription"),
        (("remove", "no-such-id"), 1, "no-subscription"),
        (("frobnicate",), 2, "usage"),
    ],
)
def test_odd_wishes_are_one_sentence(run: Run, arguments: tuple[str, ...], status: int, code: str) -> None:
    """A code, a sentence, an exit status; no traceback."""
    ran = run(*arguments)
    assert (ran.status, ran.rows[0]["error"]["code"]) == (status, code)


def test_linq_away_or_a_wrong_key_is_unreachable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 4."""
    monkeypatch.setenv("LINQ_API_V3_API_KEY", "wrong")
    assert run("list").status == 4
    monkeypatch.setenv("LINQ_API_V3_BASE_URL", "http://127.0.0.1:9")
    assert run("check").status == 4


def test_several_receivers_are_not_mixed_up(run: Run, web: Served, linq_webhooks: WebhookReceiver) -> None:
    """Which one is meant has to be said."""
    run("create", "--url", web.url)
    run("create", "--url", linq_webhooks.url)
    for command in ("rotate", "remove", "check"):
        ran = run(command)
        assert (ran.status, ran.rows[0]["error"]["code"]) == (2, "which-subscription")
    assert run("rotate", "--url", web.url).status == 0
    assert run("check", "--url", web.url).status == 0


@pytest.mark.parametrize("command", [("create", "--url", "https://memos.example.org"), ("rotate",), ("remove", "x")])
def test_a_home_that_cannot_be_written_is_a_wrong_setting(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """One sentence, before anything is asked of Linq."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEMOLINE_HOME", str(tmp_path / "file" / "home"))
    ran = run(*command)
    assert (ran.status, ran.row["error"]["code"]) == (2, "home-unusable")
