"""Waiting for something, with a deadline: the one loop that does it."""

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def wait_until(
    ask: Callable[[], Answer | None], timeout: float, late: Callable[[], Exception], every: float = 0.2
) -> Answer:
    """Ask again and again, ``every`` so many seconds, until the answer is true, and return it.

    It is asked at least once, and once more after the deadline, ``timeout`` seconds, has passed in a pause: a machine
    that was busy in between loses nothing. What ``ask`` raises ends the waiting; ``late`` makes the error for a wait
    that took too long, which says what was seen last, and what to do.
    """
    deadline = time.monotonic() + timeout
    while not (answer := ask()):
        if time.monotonic() >= deadline:
            raise late()
        time.sleep(every)
    return answer
