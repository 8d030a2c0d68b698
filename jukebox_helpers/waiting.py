"""Waiting for something, with a deadline: the one loop that does it."""

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def wait_until(
    ask: Callable[[], Answer | None], timeout: float, late: Callable[[], Exception], every: float = 0.2
) -> Answer:
    """Ask again and again until the answer is true, and return it.

    It is asked at least once, and once more after the deadline has passed in a pause: a machine that was busy in
    between loses nothing.

    Args:
        ask: Gives what is waited for; something false where it is not there yet. What it raises ends the waiting.
        timeout: Seconds to wait at most.
        late: Makes the error for a wait that took too long: it says what was seen last, and what to do.
        every: Seconds between two questions.
    """
    deadline = time.monotonic() + timeout
    while not (answer := ask()):
        if time.monotonic() >= deadline:
            raise late()
        time.sleep(every)
    return answer
