from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from store.objects.durations import (
    LONGEST_S,
    Duration,
    PositiveDuration,
    format_duration,
    parse_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("1.5s", 1.5),
        ("1h2m3.5s4ms", 3723.504),
        ("300ms", 0.3),
        ("+5s", 5.0),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("1s1s", 2.0),
        ("1us", 1e-6),
        ("1µs", 1e-6),
        ("1μs", 1e-6),
        ("1ns", 1e-9),
        ("720h", 2592000.0),
        ("2562047h", 9223369200.0),
    ],
)
def test_go_notation_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("5", 'no unit; write "5s"'),
        ("1.5", 'no unit; write "1.5s"'),
        ("-1s", "negative"),
        ("1d", "the longest unit is the hour"),
        ("7 days", "the longest unit is the hour"),
        ("", "is not a duration"),
        ("s", "is not a duration"),
        ("1 s", "is not a duration"),
        ("1s ", "is not a duration"),
        ("1S", "is not a duration"),
        ("1s\n", "is not a duration"),
        (".s", "is not a duration"),
        ("1..5s", "is not a duration"),
        ("١s", "is not a duration"),
        ("1m" * 60, "is not a duration"),
        ("3000000h", "292 years"),
    ],
)
def test_other_notation_is_refused_with_what_to_write(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_duration(text)


def test_complaints_stay_short() -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration("x" * 10_000)
    assert len(str(caught.value)) < 200


@given(st.integers(0, 10**15).map(lambda microseconds: microseconds / 1e6))
def test_what_is_formatted_is_read_back(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9, rel=1e-12)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.025, "25ms"),
        (1.5, "1.5s"),
        (10, "10s"),
        (90, "1m30s"),
        (3600, "1h"),
        (2592000, "720h"),
        (0.0000015, "0.0000015s"),
    ],
)
def test_durations_are_formatted_in_the_fewest_words(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.text(max_size=12) | st.text("0123456789.hmsnuµ-+", max_size=12))
def test_any_text_is_read_or_refused_with_words(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        complaint = str(error)
    else:
        assert 0 <= seconds <= LONGEST_S
        return
    assert complaint.startswith(f'"{text}"')


DURATION: TypeAdapter[float] = TypeAdapter(Duration)
POSITIVE: TypeAdapter[float] = TypeAdapter(PositiveDuration)


def problem(adapter: TypeAdapter[float], value: object) -> tuple[str, str]:
    with pytest.raises(ValidationError) as caught:
        adapter.validate_python(value)
    (error,) = caught.value.errors()
    return error["type"], error["msg"]


def test_fields_take_text_only() -> None:
    assert DURATION.validate_python("1m") == 60.0
    assert problem(DURATION, 5) == (
        "duration_type",
        'a duration is a string with a unit; write "5s" for seconds',
    )
    assert problem(DURATION, True)[0] == "duration_type"
    assert problem(DURATION, None)[0] == "duration_type"
    assert problem(DURATION, "5")[0] == "duration"


def test_most_fields_need_a_millisecond() -> None:
    assert POSITIVE.validate_python("1ms") == 0.001
    assert problem(POSITIVE, "0s") == (
        "duration_too_short",
        "0s is too short; the shortest duration here is 1ms",
    )
    assert problem(POSITIVE, "999us")[0] == "duration_too_short"
    assert DURATION.validate_python("0s") == 0.0
