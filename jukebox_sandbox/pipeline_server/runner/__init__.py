"""The strict runner: it walks a compiled pipeline's graph as Kubeflow Pipelines' driver and Argo do.

`Runner` runs what is in the table of runs; `check` refuses what it cannot run, before anything starts.
"""

from jukebox_sandbox.pipeline_server.runner.refusals import check
from jukebox_sandbox.pipeline_server.runner.runner import Runner

__all__ = ["Runner", "check"]
