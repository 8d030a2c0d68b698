"""Running a compiled pipeline on this machine, as a cluster would: the same YAML, the same secrets by name.

KFP's local runner ignores the platform spec and lets steps inherit the whole environment, so a forgotten
secret stays unseen until the cluster. Here each step gets what the platform spec gives it, and nothing else.
"""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jukebox_sandbox.compiled import Run, Step, read_pipeline
from jukebox_sandbox.containers import Order, check_packages, container_env, step_environment, with_environments

TERMINAL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours and cursor movements (CSI)
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)"  # titles, links and other strings (OSC, DCS, …)
)
"""What a terminal obeys, and nobody reads: https://en.wikipedia.org/wiki/ANSI_escape_code."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
TASK_STARTS = re.compile(r"^[\d:.]+ - \w+ - Executing task '([^']+)'")
TASK_ENDS = re.compile(r"^[\d:.]+ - \w+ - Task '([^']+)' finished with status (\w+)")
EXCEPTION = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt)): ?(.*)$")


def run_pipeline(order: Order, on_change: Callable[[Run], None] = lambda run: None) -> Run:
    """Run a compiled pipeline on this machine and wait for it.

    Args:
        order: What is to be run.
        on_change: Called whenever a step changes its state.

    Returns:
        The finished run, succeeded or failed.

    Raises:
        SandboxError: Before anything starts, if a secret or a package is missing, by name.
    """
    pipeline = read_pipeline(order.pipeline)
    check_packages(pipeline, strict=bool(order.state))
    environments = {label: container_env(pipeline, label, order) for label in pipeline.executors}
    run_id = f"{pipeline.name}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    folder = Path(order.runs, run_id)
    steps = [Step(name) for name in order.steps]
    run = Run(run_id, pipeline.name, str(folder), order.arguments, steps, pid=os.getpid())
    if order.check:
        return run
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    (folder / "pipeline.yaml").write_text(order.pipeline)
    run.save()
    child_order = {
        "spec": with_environments(pipeline.spec, environments),
        "arguments": order.arguments,
        "folder": str(folder / "artifacts"),
    }
    started = time.monotonic()
    failed = follow_process(step_environment(order, scratch), scratch, child_order, run, on_change)
    run.finish(failed, round(time.monotonic() - started, 3))
    on_change(run)
    return run


def follow_process(
    environment: dict[str, str], scratch: Path, order: dict[str, Any], run: Run, on_change: Callable[[Run], None]
) -> bool:
    """Run the steps in a process of their own, follow it, and end whatever it leaves.

    Args:
        environment: The environment of the process.
        scratch: Its folder, which goes with it.
        order: What `runner_process` reads.
        run: The run; brought up to date.
        on_change: Called whenever a step changes its state.

    Returns:
        Whether the run has failed.
    """
    # -P: the folder of runner_process.py is no place to import from.
    child = subprocess.Popen(
        [sys.executable, "-P", str(Path(__file__).with_name("runner_process.py"))],
        cwd=scratch,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert child.stdin and child.stdout
        # It stays open: when this process dies, the child sees it close and ends with its steps.
        child.stdin.write(json.dumps(order) + "\n")
        child.stdin.flush()
        with Path(run.folder, "log.txt").open("w", buffering=1) as log:
            follow(child.stdout, run, log.write, on_change)
        return child.wait() != 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        shutil.rmtree(scratch, ignore_errors=True)


def printable(text: str) -> str:
    """A text for a terminal: without what the terminal would obey, other control characters escaped."""
    return CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", TERMINAL.sub("", text))


def follow(lines: Any, run: Run, write: Callable[[str], Any], on_change: Callable[[Run], None]) -> None:
    """Follow KFP's log: keep it, and see in it where each step stands."""
    started: dict[str, float] = {}
    words: list[str] = []
    for raw in lines:
        line = printable(raw)
        write(line)
        if match := TASK_STARTS.match(line):
            started[match[1]] = time.monotonic()
            run.step(match[1]).state = "running"
            words = []
        elif match := TASK_ENDS.match(line):
            step = run.step(match[1])
            step.seconds = round(time.monotonic() - started.get(step.name, time.monotonic()), 3)
            step.state = "succeeded" if match[2] == "SUCCESS" else "failed"
            if step.state == "failed":
                run.error = run.error or last_exception(words)
        else:
            words.append(line.rstrip("\n").removeprefix("    "))
            continue
        run.save()
        on_change(run)
    run.error = run.error or last_exception(words)


def last_exception(lines: list[str]) -> str:
    """The message of the last exception in a log, without its traceback; else the log's last lines."""
    for number in range(len(lines) - 1, -1, -1):
        if match := EXCEPTION.match(lines[number]):
            return "\n".join([match[2], *lines[number + 1 :]]).strip() or match[1]
    return "\n".join(line for line in lines if line.strip())[-2000:]


def main() -> int:
    """Run what one line of JSON on standard input orders; print each change of the run as a line of JSON.

    When standard input closes, whoever wanted the run is gone: this process ends, and with it the steps.

    Returns:
        The exit code: 0, whether the run succeeded or failed; its state says so.
    """
    order = Order(**json.loads(sys.stdin.readline()))

    def end_with_the_starter() -> None:
        sys.stdin.read()
        os._exit(1)

    threading.Thread(target=end_with_the_starter, daemon=True).start()

    def say(run: Run) -> None:
        print(json.dumps(asdict(run)), flush=True)

    say(run_pipeline(order, say))
    return 0
