"""The workshop: the attendee's place, exercises, quizzes, notebooks, the demonstration. All that a notebook imports.

Runs in a notebook or a terminal.
May use: show, pipelines, settings, sandbox, workbench, errors, steps.

Notebooks import these names from it:

- the attendee's place: ``catch_up`` brings everything to the state in which a notebook starts, ``load_songs`` puts
  songs into the bucket ``data``, ``ask_cluster_domain`` asks a workbench's user for its cluster;
- exercises and questions: ``exercise``, ``quiz``, ``challenge``;
- what to look at: ``views`` (a module: files, logs, objects, pushes, versions), ``compare_data_versions``;
- the data pipeline: ``week`` lets days of songs arrive, ``stop_at`` stops a run in the middle of a step;
- the training pipeline: ``FETCH_FROM_DVC`` (the block to paste), ``TRAINING_PIPELINE`` and ``TRAINING_PIPELINE_YAML``
  (its files), ``compile_file``, ``pipeline_graph``;
- a model's origin: ``trace``, ``lineage_picture``;
- a model that plays: ``load_model``, ``sliders``, ``typical_song``, ``country_bars``.
"""

from importlib import import_module
from typing import Any

WHERE = {
    "FETCH_FROM_DVC": "workshop.edits",
    "TRAINING_PIPELINE": "settings",
    "TRAINING_PIPELINE_YAML": "settings",
    "ask_cluster_domain": "workshop.cluster_domain",
    "catch_up": "workshop.catching_up",
    "challenge": "workshop.hits",
    "compare_data_versions": "show.data_comparison",
    "compile_file": "pipelines.compile",
    "country_bars": "show.sliders",
    "exercise": "workshop.exercises",
    "lineage_picture": "show.lineage_picture",
    "load_model": "show.player",
    "load_songs": "workshop.place",
    "pipeline_graph": "show.graphs",
    "quiz": "workshop.quizzes",
    "sliders": "show.sliders",
    "stop_at": "workshop.breaking",
    "trace": "pipelines.lineage",
    "typical_song": "show.sliders",
    "week": "workshop.arrivals",
}
"""The module of each name. It is loaded when the name is asked for: the command line needs few of them."""

__all__ = [*WHERE, "views"]


def __getattr__(name: str) -> Any:
    if name not in WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"jukebox_helpers.{WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
