"""What answers at the sandbox's one address beside git and its pages: the APIs of the platform."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from jukebox_sandbox.commit_statuses import CommitStatuses
from jukebox_sandbox.configuration import Configuration
from jukebox_sandbox.door import GIT_ROOT, PAGES_ROOT
from jukebox_sandbox.pipeline_server.creation import Runner
from jukebox_sandbox.pipeline_server.schedules import Clock
from jukebox_sandbox.state import Sandbox


class Later:
    """A WSGI application that its first request makes: a start does not wait for its imports.

    Args:
        make: Makes it.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None
        self._making = threading.Lock()

    def __call__(self, environ: dict[str, Any], respond: Any) -> Iterable[bytes]:
        """Answer one request."""
        with self._making:
            if self._made is None:
                self._made = self._make()
        answered: Iterable[bytes] = self._made(environ, respond)
        return answered


@dataclass(frozen=True)
class Parts:
    """What the APIs are about.

    Attributes:
        engine: The database of the pipeline server.
        configuration: What the sandbox holds.
        statuses: The statuses of their commits.
        runner: What runs pipelines.
        clock: What makes the runs of schedules.
    """

    engine: Engine
    configuration: Configuration
    statuses: CommitStatuses
    runner: Runner
    clock: Clock


def applications(settings: Sandbox, parts: Parts) -> dict[str, Later]:
    """The APIs of the sandbox by the beginning of their paths. The door in front of them asks who is there.

    Args:
        settings: The sandbox.
        parts: What they are about.
    """

    def gitea() -> Any:
        from jukebox_sandbox.gitea import make_app

        return make_app(settings, list(parts.configuration.repositories), parts.statuses)

    def registry() -> Any:
        from flask import Flask

        from jukebox_sandbox.pipeline_server.registry.api import registry_blueprint

        application = Flask("model_registry", static_folder=None)
        application.register_blueprint(registry_blueprint(parts.engine))
        return application

    def service() -> Any:
        from jukebox_sandbox.pipeline_server.api import Service

        return Service(parts.engine, parts.runner, settings.state / "pipeline-server" / "logs")

    def pipelines() -> Any:
        from jukebox_sandbox.pipeline_server.api import create_application
        from jukebox_sandbox.pipeline_server.api.recurring_runs import add_schedules

        application = create_application(service())
        add_schedules(application, parts.clock)
        return application

    def pages() -> Any:
        from jukebox_sandbox.pages import Site, make_app

        return make_app(Site(settings, parts.configuration, parts.engine, parts.statuses), service(), parts.clock)

    server = Later(pipelines)
    return {
        GIT_ROOT: Later(gitea),
        "/api/model_registry": Later(registry),
        "/apis": server,
        "/sandbox": server,
        PAGES_ROOT: Later(pages),
    }
