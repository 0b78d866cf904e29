"""Named tokens of the HTTP door: made, listed, withdrawn, and how often one may ask."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from pipeline.errors import JobFailed
from pipeline.ledger.tokens import TokenBook
from pipeline.settings import Settings
from tests.support.waiting import eventually
from tests.support.web import serving
from workers.cli.guard import run as main
from workers.wiring import open_tokens


def ask(url: str, token: str) -> httpx.Response:
    """Ask for the list of jobs with a token."""
    return httpx.get(f"{url}/v1/memos", headers={"Authorization": f"Bearer {token}"}, trust_env=False)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with no MEMOLINE_API_TOKEN."""
    return Settings(home=tmp_path)


@pytest.fixture
def book(settings: Settings) -> TokenBook:
    """The tokens of that home."""
    return open_tokens(settings)


def test_a_token_opens_the_door_until_it_is_withdrawn(settings: Settings, book: TokenBook) -> None:
    """Without MEMOLINE_API_TOKEN too; the others go on."""
    first, second = book.add("billing"), book.add("support")
    with serving(settings) as web:
        assert {ask(web.url, token).status_code for token in (first, second)} == {200}
        for wrong in ("x", first[:-1], first + "x", first.upper(), "MEMOLINE_API_TOKEN"):
            assert ask(web.url, wrong).status_code == 401, wrong
        book.revoke("billing")
        eventually(lambda: ask(web.url, first).status_code == 401, "the token is withdrawn")
        assert ask(web.url, second).status_code == 200


def test_only_hashes_are_kept(settings: Settings, book: TokenBook) -> None:
    """The token is nowhere in the home."""
    token = book.add("billing").encode()
    assert not [path for path in settings.home.rglob("*") if path.is_file() and token in path.read_bytes()]


def test_names_are_unique_for_ever(book: TokenBook) -> None:
    """So that a name in a job's history means one holder; withdrawing twice is once."""
    book.add("billing")
    book.revoke("billing")
    book.revoke("billing")
    for broken, code in ((lambda: book.add("billing"), "name-taken"), (lambda: book.revoke("x"), "no-such-token")):
        with pytest.raises(JobFailed) as caught:
            broken()
        assert caught.value.code == code


def test_a_caller_may_not_ask_too_often(settings: Settings, book: TokenBook) -> None:
    """429 with the seconds to wait; another caller is not held up."""
    token, other = book.add("eager"), book.add("calm")
    with serving(settings.model_copy(update={"http_rate": "3/hour"})) as web:
        answers = [ask(web.url, token) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].json()["code"] == "too-often"
        assert 0 < int(answers[-1].headers["retry-after"]) <= 3600
        assert ask(web.url, other).status_code == 200


def test_the_command_makes_lists_and_withdraws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The token is shown once; names are what is listed."""
    monkeypatch.setenv("MEMOLINE_HOME", str(tmp_path))

    def run(*arguments: str) -> tuple[int, list[dict[str, object]]]:
        status = main(["token", *arguments, "--json"])
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    status, (made,) = run("add", "billing")
    assert status == 0
    assert str(made["token"]).startswith("memo_")
    assert [row["name"] for row in run("list")[1]] == ["billing"]
    assert run("revoke", "billing")[0] == 0
    assert run("list")[1][0]["revoked_at"]
    assert [run(*wrong)[0] for wrong in (("revoke", "nobody"), ("add", "billing"), ("add", " "))] == [1, 1, 2]
