"""The pages that are read when something is wrong name commands, and options of them, that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click import Context, Group

from workers.cli.commands import app

ROOT = Path(__file__).parents[2]
PAGES = ("docs/operations.md", "docs/single-host.md", "docs/exactly-once.md", "docs/data.md", "infra/aws/README.md")
_SPAN = re.compile(r"`(?:memoline|run\.sh|run) ([^`\n]+)`")
_FENCED = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_LINE = re.compile(r"(?:^memoline|^run|run\.sh|serve memoline|/memoline) ([a-z][^#|\n]*)", re.MULTILINE)


def wrong_in(text: str) -> list[str]:
    """Commands of ours that a text names and that do not exist, or not with these options."""
    lines = [line for block in _FENCED.findall(text) for line in _LINE.findall(block)]
    named = [match.split() for match in (*_SPAN.findall(text), *lines)]
    return [" ".join(words) for words in named if not _exists(words)]


def _exists(words: list[str]) -> bool:
    command, rest = app, words
    while isinstance(command, Group) and rest:
        found = command.get_command(Context(command), rest[0])
        if found is None:
            return False
        command, rest = found, rest[1:]
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    return {word.split("=")[0] for word in rest if word.startswith("--")} <= known | {"--help"}


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_exist(page: str) -> None:
    """With the options that it gives them."""
    assert wrong_in((ROOT / page).read_text()) == []


def test_a_command_that_does_not_exist_is_noticed() -> None:
    """By its name, by a name below it, and by an option."""
    wrong = ["mend JOB", "webhooks mend", "retry --kode CODE", "jobs --state HELD"]
    assert wrong_in("".join(f"Say `memoline {one}`.\n" for one in wrong)) == wrong[:3]
    assert wrong_in("```sh\ninfra/aws/run.sh docter\n```\n") == ["docter"]
