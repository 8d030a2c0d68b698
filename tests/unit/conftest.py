"""The unit tests start no process: they are the quick tier, and run while one types."""

import platform
import sys
from collections.abc import Generator
from typing import Any

import pytest

# https://docs.python.org/3/library/audit_events.html
STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "os.exec")

guarded = [False]


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what starts a process, while a unit test or one of its fixtures runs."""
    if guarded[0] and event in STARTS:
        raise AssertionError(f"A unit test starts a process: {event} {arguments[:2]}. It belongs to another tier.")


sys.addaudithook(refuse)
platform.processor()  # the standard library asks uname once, and packages ask the standard library


def guard() -> Generator[None, Any, Any]:
    """Guard what pytest does meanwhile, fixtures of every scope included."""
    guarded[0] = True
    try:
        return (yield)
    finally:
        guarded[0] = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, Any, Any]:
    return (yield from guard())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, Any, Any]:
    return (yield from guard())
