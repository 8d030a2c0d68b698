"""What runs pipelines on a platform: the pipeline server of a cluster, or the runner of this laptop."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from jukebox_helpers.pipelines.laptop import run_pipeline
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.pipelines.runs import Run
from jukebox_helpers.pipelines.server import connect
from jukebox_helpers.settings import Settings

OnChange = Callable[[Run], None]


class Pipelines(Protocol):
    """What runs pipelines on a platform."""

    def run(self, file: Path, arguments: dict[str, Any], on_change: OnChange, version: str = "") -> Run:
        """Run a compiled pipeline, and follow it to its end.

        Args:
            file: The compiled YAML.
            arguments: The pipeline's arguments.
            on_change: Called whenever a step changes its state.
            version: A server imports the file under this name first; without one it runs the version of that
                pipeline that was imported last.

        Returns:
            The finished run.

        Raises:
            JukeboxError: If it cannot start.
            RunFailed: If a step has failed.
        """


class Laptop:
    """The runner of this laptop: it runs the file as it is.

    Args:
        settings: The sandbox.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def run(self, file: Path, arguments: dict[str, Any], on_change: OnChange, version: str = "") -> Run:
        """Run a compiled pipeline, and follow it to its end; see `Pipelines.run`."""
        return run_pipeline(file, arguments, self.settings, on_change)


class Cluster:
    """The pipeline server of a cluster, through KFP's client.

    Args:
        settings: The workbench, or a task of ct-pipeline.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def run(self, file: Path, arguments: dict[str, Any], on_change: OnChange, version: str = "") -> Run:
        """Run a compiled pipeline, and follow it to its end; see `Pipelines.run`."""
        server, compiled = connect(self.settings), read_pipeline(file.read_text())
        if version:
            imported = server.import_pipeline(file, version)
            name = f"{imported.pipeline}-{version}"
        else:
            imported, compiled = server.latest(compiled.name)
            name = f"{imported.pipeline}-adhoc-run"
        return server.run(imported, compiled, arguments, name, self.settings.runs, on_change)


def pipelines_of(settings: Settings) -> Pipelines:
    """What runs pipelines on this platform."""
    return Cluster(settings) if settings.platform == "rhoai" else Laptop(settings)
