"""The unit tests start no process: they are the quick tier, and run while one types."""

import subprocess
from collections.abc import Iterator
from typing import NoReturn

import pytest


@pytest.fixture(autouse=True)
def no_process(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Refuse to start a process."""

    def refuse(self: object, command: object, *_: object, **__: object) -> NoReturn:
        raise AssertionError(f"A unit test started a process: {command}. It belongs to another tier.")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", refuse)
        yield
