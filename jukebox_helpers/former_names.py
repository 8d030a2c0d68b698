"""Import paths of before the library had rooms, kept for one release: attendees' notebooks and scripts name them.

The names of the old modules ``pipelines`` and ``workshop``, which are rooms now, are kept by those rooms.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED = {
    "arrow_memory": "steps.memory",
    "buckets": "workshop.buckets steps.s3",
    "casts": "steps.casts",
    "catch_up": "workshop.catching_up",
    "challenge": "workshop.hits",
    "charts": "show.charts",
    "cluster_actions": "pipelines.actions",
    "cluster_connection": "pipelines.connection",
    "cluster_pipelines": "pipelines.server pipelines.following",
    "cluster_runs": "pipelines.runs",
    "continuous_training": "pipelines.training pipelines.revisions",
    "cross_validation": "steps.cross_validation",
    "data_cache": "steps.data_cache",
    "data_comparison": "show.data_comparison",
    "data_versions": "steps.data_versions steps.dvc steps.files",
    "demo": "workshop.demo",
    "doctor": "workshop.doctor",
    "evaluation": "steps.evaluation steps.gate steps.evaluation_picture",
    "exercise_engine": "workshop.engine show.notes",
    "exercises": "workshop.exercises workshop.checks",
    "git_password": "steps.git_password",
    "git_repository": "steps.git",
    "lab": "workshop.lab",
    "lineage": "pipelines.lineage show.lineage",
    "lineage_view": "show.lineage",
    "local_runner": "pipelines.following pipelines.runs pipelines.read",
    "network": "steps.network",
    "notebook_runner": "workshop.notebooks",
    "parquet_files": "steps.parquet_files",
    "pictures": "show.graphs show.lineage_picture",
    "platform_rhoai": "workbench workshop.cluster_domain",
    "play": "show.player show.sliders",
    "play_view": "show.sliders",
    "preparation": "steps.preparation steps.files",
    "progress": "show.progress",
    "quizzes": "workshop.quizzes",
    "rankings": "steps.rankings",
    "registration": "steps.registration",
    "registry": "steps.registry",
    "sample_data": "steps.sample_data steps.sample_rankings",
    "scoring": "steps.scoring",
    "song_data": "steps.tables",
    "song_schemas": "steps.schemas",
    "step_metadata": "steps.metadata",
    "training": "steps.model steps.export",
    "transfer": "steps.transfer steps.s3",
    "views": "workshop.views",
    "workplace": "workshop.place",
}
"""Where the names of each old module are now: the modules that have them, in the order to look in."""


class FormerNames(MetaPathFinder, Loader):
    """Finds the old modules. Each is empty, and looks its names up where they are now."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The old module of a name; None where this is not one."""
        package, _, name = fullname.rpartition(".")
        return ModuleSpec(fullname, self) if package == "jukebox_helpers" and name in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        """Let the module find its names; see https://peps.python.org/pep-0562/."""
        rooms = MOVED[module.__name__.rpartition(".")[2]].split()

        def find(name: str) -> Any:
            if not name.startswith("__"):
                for now in (import_module(f"jukebox_helpers.{room}") for room in rooms):
                    if hasattr(now, name):
                        return getattr(now, name)
            raise AttributeError(f"{module.__name__} has become {' and '.join(rooms)}, without a {name!r}.")

        vars(module)["__getattr__"] = find


def install() -> None:
    """Find the old modules from now on, after all others."""
    if not any(isinstance(finder, FormerNames) for finder in sys.meta_path):
        sys.meta_path.append(FormerNames())
