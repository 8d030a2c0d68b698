"""The process of one step, started ahead with the interpreter and kfp.dsl loaded. `processes` starts it by its path.

It reads two lines of JSON on standard input: its place (environment, folder, imports), which may come while other
steps still run, and its order (source, arguments, log), and then is the step. When standard input closes, whoever
wanted the step is gone: this process and all that it started end. Nothing of this package can be imported here.
"""

import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator

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


def lines(lifeline: int) -> Iterator[dict]:
    """The lines of standard input."""
    read = b""
    while more := os.read(lifeline, 1 << 16):
        *whole, read = (read + more).split(b"\n")
        yield from map(json.loads, whole)
    sys.exit(0)


def write_to(log: str) -> None:
    """Let a file be standard output and standard error."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    os.close(file)


def move_to(place: dict) -> None:
    """Take over a place: its environment, its folder, what can be imported there."""
    environment = {**place["environment"], MARK: os.environ[MARK], "_KFP_RUNTIME": "true"}
    os.environ.clear()
    os.environ.update(environment)
    starter = os.dup(1)
    write_to(place["folder"] + "/log")
    os.chdir(place["folder"] + "/home")
    # `python -m` imports from the working directory first, and then what PYTHONPATH names.
    guard = environment["PYTHONPATH"]
    sys.path[:0] = ["", guard]
    with open(os.path.join(guard, "sitecustomize.py"), encoding="utf-8") as file:
        source = file.read()
    scope = {"__name__": "import_guard", "__file__": guard}
    exec(compile(source, os.path.join(guard, "sitecustomize.py"), "exec"), scope)
    scope["install"](guard)
    mounts = place["folder"] + "/mounts"
    artifact_types._GCS_LOCAL_MOUNT_PREFIX = mounts + "/gcs/"
    artifact_types._MINIO_LOCAL_MOUNT_PREFIX = mounts + "/minio/"
    artifact_types._S3_LOCAL_MOUNT_PREFIX = mounts + "/s3/"
    for statement in place["imports"]:
        try:
            exec(statement, {})
        except BaseException:  # the step meets it again, if it ever comes there, and then says so
            continue
    os.close(starter)  # which says that all is imported


def main() -> None:
    """Go to the place, wait for the order, and be the step."""
    lifeline = os.dup(0)
    # As in a pod, there is nothing to read on standard input: not for the step, and not for what it starts.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    told = lines(lifeline)
    place = next(told)
    move_to(place)
    order = next(told)
    threading.Thread(target=end_with_the_starter, args=(lifeline,), daemon=True).start()
    write_to(order["log"])
    with open(place["folder"] + "/log", "rb") as said, open(1, "wb", closefd=False) as log:
        log.write(said.read())
    program = os.path.join(tempfile.mkdtemp(), "ephemeral_component.py")
    with open(program, "w", encoding="utf-8") as file:
        file.write(order["source"])
    sys.argv = [executor_main.__file__, "--component_module_path", program, *order["arguments"]]
    executor_main.executor_main()


if __name__ == "__main__":
    main()
