"""Fixtures that several tests share: a real sandbox, once for the whole session."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rendering import Helm, find_helm, find_schemas
from stand_in import stand_in_configuration

from jukebox_helpers import sandbox as platform
from jukebox_helpers.settings import Settings
from jukebox_helpers.steps.constants import CONNECTION_KEYS


@pytest.fixture(scope="session", autouse=True)
def no_platform_around(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The tests find the platform that they start, never one that the terminal belongs to.

    What a step leaves to its container to clear away lies in a folder of this session.
    """
    tempfile.tempdir = str(tmp_path_factory.mktemp("tmp"))
    ours = ("JUKEBOX_STATE", "JUKEBOX_GIT_SERVER", "JUKEBOX_OAUTH_ISSUER")
    for key in (*CONNECTION_KEYS, *ours, "KUBERNETES_SERVICE_HOST", "username", "password", "namespace"):
        os.environ.pop(key, None)
    os.environ.update(GIT_TERMINAL_PROMPT="0", DVC_NO_ANALYTICS="1", NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory, no_platform_around: None) -> Iterator[Settings]:
    """A running sandbox that the whole session shares; a push of code runs a stand-in command."""
    state = tmp_path_factory.mktemp("sandbox") / "state"
    settings = platform.up(state, lifeline=True, configuration=stand_in_configuration(state.parent))
    os.environ["JUKEBOX_STATE"] = str(state)
    yield settings
    os.environ.pop("JUKEBOX_STATE", None)
    platform.down(state, delete=True)


@pytest.fixture
def fresh_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A sandbox as the workshop starts, for one test alone."""
    state = tmp_path / "state"
    settings = platform.up(state, lifeline=True, configuration=stand_in_configuration(state.parent))
    monkeypatch.setenv("JUKEBOX_STATE", str(state))
    yield settings
    platform.down(state, delete=True)


@pytest.fixture(scope="module")
def runs(sandbox: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A runner of pipelines for the tests of one file, ``running.Runs``; S3 is the sandbox's."""
    from running import Runs  # what it imports takes a second, and most tests need none of it

    made = Runs(tmp_path_factory.mktemp("runner") / "state", sandbox.state, sandbox.s3_endpoint)
    made.runner.start()
    yield made
    made.runner.stop()


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm itself: renders a chart, and refuses what its schema of values refuses."""
    return find_helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """What the schemas of the clusters say of manifests, and the values of CEL expressions."""
    return find_schemas(tmp_path_factory.mktemp("schemas"))
