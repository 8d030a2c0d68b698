"""KFP's own local runner in a process, for a test that runs the steps as another user. It is started by its path.

It reads one line of JSON on standard input: ``spec`` (the pipeline spec), ``arguments``, ``folder`` (for the
artifacts). When standard input closes, it ends with all that it started.
"""

import json
import os
import signal
import sys
import threading

from google.protobuf import json_format

# KFP's switch for what runs in a container: the package then leaves out the cluster's client, most of its import.
os.environ["_KFP_RUNTIME"] = "true"
import kfp  # noqa: F401

del os.environ["_KFP_RUNTIME"]
from kfp import local
from kfp.local import pipeline_orchestrator, subprocess_task_handler
from kfp.pipeline_spec import pipeline_spec_pb2


def end_with_the_starter() -> None:
    """Wait until standard input closes, then end this process group: this process leads it."""
    sys.stdin.read()
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> int:
    """Run the pipeline and return the exit code: 0 done, 1 a step has failed."""
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=end_with_the_starter, daemon=True).start()
    spec = json_format.ParseDict(order["spec"], pipeline_spec_pb2.PipelineSpec())
    # KFP would write its interpreter's path over every "python3", unquoted in a script of `sh -c` and in arguments,
    # too. As in a container, `python3` is found on PATH.
    subprocess_task_handler.replace_python_executable = lambda command, _: command
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=order["folder"])
    try:
        pipeline_orchestrator.run_local_pipeline(spec, order["arguments"])
    except RuntimeError as error:
        # KFP has shown the step's own words already.
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
