"""What the demo prints: the same words with and without colour."""

from __future__ import annotations

import io
import re

import pytest

from meshd.demo.screen import Screen, wants_colour


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "expected"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (Terminal(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_is_for_terminals_unless_told(
    stream: io.StringIO, environment: dict[str, str], expected: bool
) -> None:
    assert wants_colour(stream, environment) is expected


def shown(*, colour: bool) -> str:
    stream = io.StringIO()
    screen = Screen(stream, colour)
    screen.title("1 of 2: first")
    screen.command("meshd put -f x.yaml")
    screen.objects("# why\nkind: VirtualService\n")
    screen.counts({"reviews v1": 3, "reviews v2": 1}, asked="4 for reviews")
    screen.good("as it should be")
    screen.bad("reviews v2: 1 of 4 requests, should be none")
    return stream.getvalue()


def test_colour_carries_no_meaning_of_its_own() -> None:
    plain, coloured = shown(colour=False), shown(colour=True)
    assert "\x1b" not in plain
    assert coloured != plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_counts_have_a_number_a_share_and_a_bar() -> None:
    assert "        3  75.0 %  reviews v1  ######################\n" in shown(colour=False)
