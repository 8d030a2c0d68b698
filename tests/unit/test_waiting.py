"""The one loop that waits: it asks, it ends, and a machine that was busy in between loses nothing."""

import ast

import pytest
from library_source import modules_with

from jukebox_helpers import waiting
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.waiting import wait_until


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.slept, self.stalls = 0.0, [], 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds + self.stalls


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    return clock


def late() -> JukeboxError:
    return JukeboxError("It did not come.", "Look for it.")


def test_the_first_true_answer_is_returned_at_once(clock: Clock) -> None:
    answers = iter([None, [], "", "here", "later"])
    assert wait_until(lambda: next(answers), 10, late, every=0.5) == "here"
    assert clock.slept == [0.5] * 3


def test_it_ends_at_its_deadline_with_the_callers_words(clock: Clock) -> None:
    asked: list[float] = []
    with pytest.raises(JukeboxError, match=r"It did not come.\nNext: Look for it."):
        wait_until(lambda: asked.append(clock.now), 2, late, every=0.5)
    assert asked == [0, 0.5, 1, 1.5, 2]


def test_with_no_time_at_all_it_still_asks_once(clock: Clock) -> None:
    assert wait_until(lambda: "here", 0, late) == "here"
    with pytest.raises(JukeboxError):
        wait_until(lambda: None, 0, late)
    assert clock.slept == []


def test_what_came_while_the_machine_was_busy_is_seen_after_the_deadline(clock: Clock) -> None:
    clock.stalls = 60
    assert wait_until(lambda: clock.now > 5, 2, late)


def test_an_error_of_the_question_ends_it(clock: Clock) -> None:
    def ask() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        wait_until(ask, 10, late)
    assert clock.slept == []


def test_nothing_else_in_the_library_waits_in_a_loop_of_its_own() -> None:
    """Those that try a request a few times again are named: they count attempts, they wait for nothing."""
    sleepers = modules_with(lambda node: isinstance(node, ast.Call) and ast.unparse(node.func).endswith("sleep"))
    assert sleepers == {"waiting.py", "pipelines/connection.py", "steps/registry.py"}
