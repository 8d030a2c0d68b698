"""The process of one step, started ahead with the interpreter and kfp.dsl loaded. `processes` starts it by its path.

It reads one line of JSON on standard input, its order, and then is the step. When standard input closes, whoever
wanted the step is gone: this process and all that it started end. Nothing of this package can be imported here.
"""

import os
import signal
import sys
import threading

# KFP's switch for what runs in a container; the command of a step sets it, too.
os.environ["_KFP_RUNTIME"] = "true"
from kfp.dsl import executor_main
from kfp.dsl.types import artifact_types

MARK = "JUKEBOX_STEP"
"""Every process of a step carries it in its environment, so that none can slip away from the group."""


def end_with_the_starter(lifeline: int) -> None:
    """Wait until the starter's end closes, then end this process group, which this process leads, and what left it.

    Args:
        lifeline: What standard input was.
    """
    while os.read(lifeline, 64):
        pass
    try:
        sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "Guard"]
        import psutil

        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and process.environ().get(MARK) == os.environ[MARK]:
                    process.kill()
            except (psutil.Error, OSError):
                pass
    finally:
        os.killpg(os.getpgrp(), signal.SIGKILL)


def read_line() -> bytes:
    """The first line of standard input, and not a byte more."""
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(0, 1 << 16)
        if not more:
            sys.exit(0)
        line += more
    return line


def become(order: dict) -> None:
    """Take over what the order says: environment, folder, log, imports."""
    environment = {**order["environment"], MARK: os.environ[MARK], "_KFP_RUNTIME": "true"}
    os.environ.clear()
    os.environ.update(environment)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    os.chdir(order["folder"])
    # `python -m` imports from the working directory first, and then what PYTHONPATH names.
    guard = order["environment"]["PYTHONPATH"]
    sys.path[:0] = ["", guard]
    with open(os.path.join(guard, "sitecustomize.py"), encoding="utf-8") as file:
        source = file.read()
    scope = {"__name__": "import_guard", "__file__": guard}
    exec(compile(source, os.path.join(guard, "sitecustomize.py"), "exec"), scope)
    scope["install"](guard)
    artifact_types._GCS_LOCAL_MOUNT_PREFIX = order["mounts"] + "/gcs/"
    artifact_types._MINIO_LOCAL_MOUNT_PREFIX = order["mounts"] + "/minio/"
    artifact_types._S3_LOCAL_MOUNT_PREFIX = order["mounts"] + "/s3/"


def main() -> None:
    """Wait for the order, and be the step."""
    import json
    import tempfile

    line = read_line()
    threading.Thread(target=end_with_the_starter, args=(os.dup(0),), daemon=True).start()
    # As in a pod, there is nothing to read on standard input: not for the step, and not for what it starts.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    order = json.loads(line)
    become(order)
    program = os.path.join(tempfile.mkdtemp(), "ephemeral_component.py")
    with open(program, "w", encoding="utf-8") as file:
        file.write(order["source"])
    sys.argv = [executor_main.__file__, "--component_module_path", program, *order["arguments"]]
    executor_main.executor_main()


if __name__ == "__main__":
    main()
