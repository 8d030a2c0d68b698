"""The process in which KFP's local runner runs a compiled pipeline. `local_runner` starts it by its path.

It reads one JSON object on standard input: ``spec`` (the pipeline spec), ``arguments``, ``folder`` (for the
artifacts). Its environment is all that a container would have, so nothing of Jukebox can be imported here.
"""

import json
import sys

from google.protobuf import json_format
from kfp import local
from kfp.local import pipeline_orchestrator
from kfp.pipeline_spec import pipeline_spec_pb2


def main() -> int:
    """Run the pipeline and return the exit code: 0 done, 1 a step has failed."""
    order = json.load(sys.stdin)
    spec = json_format.ParseDict(order["spec"], pipeline_spec_pb2.PipelineSpec())
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
