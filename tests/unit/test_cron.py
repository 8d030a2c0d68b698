"""Cron expressions: each answer below is what robfig/cron 1.2.0, the library of KFP's scheduler, gave in Go."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jukebox_sandbox.pipeline_server.cron import Cron, parse

MORNING = datetime(2026, 11, 25, 10, 30)

KNOWN = [
    ("0 0 0 * * 0", MORNING, "2026-11-29T00:00:00 2026-12-06T00:00:00 2026-12-13T00:00:00"),
    ("0 0 0 * * SUN", MORNING, "2026-11-29T00:00:00 2026-12-06T00:00:00 2026-12-13T00:00:00"),
    ("0 0 0 ? * Mon-Fri", MORNING, "2026-11-26T00:00:00 2026-11-27T00:00:00 2026-11-30T00:00:00"),
    ("0 30 8 * *", MORNING, "2026-11-26T08:30:00 2026-11-27T08:30:00 2026-11-28T08:30:00"),
    ("0 0 12 1,15 * Wed", MORNING, "2026-11-25T12:00:00 2026-12-01T12:00:00 2026-12-02T12:00:00"),
    ("0 0 12 */10 * Wed", MORNING, "2027-03-31T12:00:00 2027-04-21T12:00:00 2027-07-21T12:00:00"),
    ("0 0 12 1,15 * ?", MORNING, "2026-12-01T12:00:00 2026-12-15T12:00:00 2027-01-01T12:00:00"),
    ("0 0 12 13 * *", MORNING, "2026-12-13T12:00:00 2027-01-13T12:00:00 2027-02-13T12:00:00"),
    ("0 0 12 13 * Fri", MORNING, "2026-11-27T12:00:00 2026-12-04T12:00:00 2026-12-11T12:00:00"),
    ("0 0 0 * Feb Mon/2", MORNING, "2027-02-01T00:00:00 2027-02-03T00:00:00 2027-02-05T00:00:00"),
    ("0 0 0 29 2 ?", MORNING, "2028-02-29T00:00:00 2032-02-29T00:00:00 2036-02-29T00:00:00"),
    ("0 0 0 31 * *", MORNING, "2026-12-31T00:00:00 2027-01-31T00:00:00 2027-03-31T00:00:00"),
    ("0 0 0 30 2 ?", MORNING, "never"),
    ("15/35 20-35/15 1/2 */2 * *", MORNING, "2026-11-25T11:20:15 2026-11-25T11:20:50 2026-11-25T11:35:15"),
    ("*/20 * * * * *", MORNING, "2026-11-25T10:30:20 2026-11-25T10:30:40 2026-11-25T10:31:00"),
    ("@daily", MORNING, "2026-11-26T00:00:00 2026-11-27T00:00:00 2026-11-28T00:00:00"),
    ("@weekly", MORNING, "2026-11-29T00:00:00 2026-12-06T00:00:00 2026-12-13T00:00:00"),
    ("@monthly", MORNING, "2026-12-01T00:00:00 2027-01-01T00:00:00 2027-02-01T00:00:00"),
    ("@yearly", MORNING, "2027-01-01T00:00:00 2028-01-01T00:00:00 2029-01-01T00:00:00"),
    ("@hourly", MORNING, "2026-11-25T11:00:00 2026-11-25T12:00:00 2026-11-25T13:00:00"),
    ("@every 1h30m", MORNING, "2026-11-25T12:00:00 2026-11-25T13:30:00 2026-11-25T15:00:00"),
    ("@every 10ms", MORNING, "2026-11-25T10:30:01 2026-11-25T10:30:02 2026-11-25T10:30:03"),
    (
        "0 0 0 1 1 *",
        datetime.fromisoformat("2026-11-25T10:30:59"),
        "2027-01-01T00:00:00 2028-01-01T00:00:00 2029-01-01T00:00:00",
    ),
    ("0 0 0 29 2 ?", datetime.fromisoformat("2096-03-01T00:00:00"), "never"),
    (
        "0 0 0 * * *",
        datetime.fromisoformat("2100-02-28T23:59:59"),
        "2100-03-01T00:00:00 2100-03-02T00:00:00 2100-03-03T00:00:00",
    ),
    ("0 0 0 , * *", MORNING, "never"),
    ("0 0 0 *-5 * *", MORNING, "2026-11-26T00:00:00 2026-11-27T00:00:00 2026-11-28T00:00:00"),
    ("0 0 0 +5 * *", MORNING, "2026-12-05T00:00:00 2027-01-05T00:00:00 2027-02-05T00:00:00"),
]


@pytest.mark.parametrize(("expression", "start", "times"), KNOWN)
def test_the_next_times_are_those_of_the_schedulers_library(expression: str, start: datetime, times: str) -> None:
    read, found, moment = parse(expression), [], start
    while len(found) < 3 and (after := read.next_after(moment)) is not None:
        found.append(after.isoformat())
        moment = after
    assert " ".join(found) == times.removesuffix("never")


REFUSED = [
    ("0 0 0 * * 7", "End of range (7) above maximum (6): 7"),
    ("0 0 * *", "Expected 5 to 6 fields, found 4: 0 0 * *"),
    ("1 * * * * * *", "Expected 5 to 6 fields, found 7: 1 * * * * * *"),
    ("60 * * * * *", "End of range (60) above maximum (59): 60"),
    ("0 0 0 0 * *", "Beginning of range (0) below minimum (1): 0"),
    ("0 0 0 * 13 *", "End of range (13) above maximum (12): 13"),
    ("0 0 0 L * *", 'Failed to parse int from L: strconv.Atoi: parsing "L": invalid syntax'),
    ("0 0 0 * * 5#1", 'Failed to parse int from 5#1: strconv.Atoi: parsing "5#1": invalid syntax'),
    ("0 0 0 * * Fri-Mon", "Beginning of range (5) beyond end of range (1): Fri-Mon"),
    ("0 0 22-2 * * *", "Beginning of range (22) beyond end of range (2): 22-2"),
    ("0 0 0 1-2-3 * *", "Too many hyphens: 1-2-3"),
    ("0 */0 * * * *", "Step of range should be a positive number: */0"),
    ("0 */5/5 * * * *", "Too many slashes: */5/5"),
    ("0 0 0 * XYZ *", 'Failed to parse int from XYZ: strconv.Atoi: parsing "XYZ": invalid syntax'),
    ("@fortnightly", "Unrecognized descriptor: @fortnightly"),
    ("@every day", 'Failed to parse duration @every day: time: invalid duration "day"'),
    ("H H * * *", 'Failed to parse int from H: strconv.Atoi: parsing "H": invalid syntax'),
    ("", "Empty spec string"),
]


@pytest.mark.parametrize(("expression", "words"), REFUSED)
def test_what_the_library_refuses_is_refused_in_its_words(expression: str, words: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse(expression)
    assert str(refused.value) == words


@settings(deadline=None)
@given(st.text("0123456789*?/-,@ MonL#every+.hs", max_size=24))
def test_any_text_is_an_expression_or_a_value_error(text: str) -> None:
    try:
        read = parse(text)
    except ValueError:
        return
    assert isinstance(read, Cron)
    after = read.next_after(MORNING)
    assert after is None or after > MORNING


EXPRESSIONS = st.sampled_from(
    ["@daily", "@every 90s", "0 */7 * * * *", "5 4 3 2 * *", "0 0 0 1,15 * Wed", "0 0 12 * * 0", "0 0 0 29 2 ?"]
)


@settings(deadline=None)
@given(EXPRESSIONS, st.integers(0, 10**9), st.integers(0, 10**6))
def test_the_newest_time_is_the_last_of_those_that_follow_each_other(text: str, start: int, length: int) -> None:
    read, moment = parse(text), datetime(2026, 1, 1) + timedelta(seconds=start)
    first = read.next_after(moment)
    assert first is not None
    last = first + timedelta(seconds=length)
    newest = read.newest_until(first, last)
    assert first <= newest <= last
    after = read.next_after(newest)
    assert after is None or after > last
    assert newest == first or read.next_after(newest - timedelta(seconds=read.every or 1)) == newest
