"""Running a compiled pipeline on this machine, as a cluster would: the same YAML, the same secrets by name.

KFP's local runner ignores the platform spec and lets steps inherit the whole environment, so a forgotten
secret stays unseen until the cluster. Here each step gets what the platform spec gives it, and nothing else.
"""

import copy
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from jukebox_sandbox.compiled import CompiledPipeline, Run, Step, read_pipeline
from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.state import read_secret

PASSED_ON = ("PATH", "LANG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""What a step inherits from this machine: where programs are, and how to get out of the network."""

TERMINAL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours and cursor movements (CSI)
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)"  # titles, links and other strings (OSC, DCS, …)
)
"""What a terminal obeys, and nobody reads: https://en.wikipedia.org/wiki/ANSI_escape_code."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
TASK_STARTS = re.compile(r"^[\d:.]+ - \w+ - Executing task '([^']+)'")
TASK_ENDS = re.compile(r"^[\d:.]+ - \w+ - Task '([^']+)' finished with status (\w+)")
DECLARED = re.compile(r"^[A-Za-z0-9][\w.-]*(\[[^]]*\])?[=<>~!]=")
EXCEPTION = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt)): ?(.*)$")


@dataclass(frozen=True)
class Order:
    """What is to be run, and for which platform.

    Attributes:
        pipeline: The compiled YAML.
        arguments: The pipeline's arguments.
        runs: The folder that keeps a folder for each run.
        namespace: The project.
        steps: The names of the steps, in order.
        state: The sandbox whose Secrets the steps get; empty in a workbench, whose environment has their values.
        variables: What else every step has in its environment: addresses of the platform, no secrets.
        check: Only check that the run could start.
    """

    pipeline: str
    arguments: dict[str, Any]
    runs: str
    namespace: str
    steps: list[str] = field(default_factory=list)
    state: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    check: bool = False

    def secret(self, name: str) -> dict[str, str]:
        """The values of a Secret by key; SandboxError if the platform has none of that name."""
        return read_secret(Path(self.state), name) if self.state else dict(os.environ)


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


def step_environment(order: Order, scratch: Path) -> dict[str, str]:
    """What every step has in its environment, as a container would: nothing else of this machine reaches it.

    Args:
        order: What is run.
        scratch: A fresh folder: the home of the steps.

    Returns:
        Values by variable.
    """
    environment = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    # UTF-8 as in the images, whatever the locale of this machine says.
    environment |= {"HOME": str(scratch), "TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    # Matplotlib looks at every font of the machine once, not in every run.
    environment["MPLCONFIGDIR"] = str(Path(order.runs).parent / "matplotlib")
    environment["PYTHONPATH"] = str(hide_jukebox(scratch))
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    return environment | order.variables


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


def check_packages(pipeline: CompiledPipeline, strict: bool) -> None:
    """Check that this environment has the packages that the steps would install in a cluster.

    Args:
        pipeline: The pipeline.
        strict: Whether the versions must be the same, too.

    Raises:
        SandboxError: If one is missing, by name.
    """
    for label, container in pipeline.executors.items():
        words = [word for part in container["command"][:-1] if "pip install" in part for word in shlex.split(part)]
        for text in filter(DECLARED.match, words):
            requirement = Requirement(text)
            if requirement.marker and not requirement.marker.evaluate():
                continue
            try:
                version = metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                version = "no version"
            if version == "no version" or (strict and version not in requirement.specifier):
                raise SandboxError(
                    f"Step {label.removeprefix('exec-')!r} declares {text}, but this environment has {version} of it.",
                    "Run the pipeline through ./jukebox, which installs requirements.txt; "
                    "after a change of requirements.txt, compile the pipelines again with ./jukebox compile.",
                )


def container_env(pipeline: CompiledPipeline, executor: str, order: Order) -> dict[str, str]:
    """The environment that the platform spec gives a step: the values of its secrets and field paths.

    Args:
        pipeline: The pipeline.
        executor: The step's executor label.
        order: What is run, for which platform.

    Returns:
        Values by variable.

    Raises:
        SandboxError: If a secret, a key or a field path is missing, by name.
    """
    step = executor.removeprefix("exec-")
    platform = pipeline.platform_of(executor)
    environment = {}
    for entry in platform.get("secretAsEnv", []):
        try:
            secret = order.secret(entry["secretName"])
        except SandboxError as error:
            raise SandboxError(f"Step {step!r}: {error.what}", error.next_action) from None
        for pair in entry["keyToEnv"]:
            if pair["secretKey"] not in secret:
                has = f"It has: {', '.join(secret)}. " if order.state else ""
                raise SandboxError(
                    f"Step {step!r} needs the key {pair['secretKey']!r}, and Secret {entry['secretName']!r} has none.",
                    f"{has}Add the key, or correct the step's use_secret_as_env.",
                )
            environment[pair["envVar"]] = secret[pair["secretKey"]]
    for entry in platform.get("fieldPathAsEnv", []):
        if entry["fieldPath"] != "metadata.namespace":
            raise SandboxError(
                f"Step {step!r} asks for the field path {entry['fieldPath']!r}, which this machine does not have.",
                "Use metadata.namespace, or run the pipeline in the cluster.",
            )
        environment[entry["name"]] = order.namespace
    return environment


def with_environments(spec: dict[str, Any], environments: dict[str, dict[str, str]]) -> dict[str, Any]:
    """A copy of a pipeline spec for this machine: each container with its environment and without ``pip install``.

    What the platform spec gives comes after the step's own variables, and of two that share a name the later one
    counts, as KFP's driver and Kubernetes have it
    (https://github.com/kubeflow/pipelines/blob/master/backend/src/v2/driver/k8s.go).
    """
    spec = copy.deepcopy(spec)
    for label, executor in spec["deploymentSpec"]["executors"].items():
        container = executor["container"]
        own = {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}
        both = own | environments[label]
        container["env"] = [{"name": name, "value": value} for name, value in both.items()]
        if "pip install" in container["command"][2]:
            container["command"] = container["command"][3:]
    return spec


def hide_jukebox(folder: Path) -> Path:
    """Make Jukebox as absent for the steps as it is in a cluster, where only their own source travels."""
    hidden = folder / "python"
    hidden.mkdir()
    for package in ("jukebox_helpers", "jukebox_sandbox"):
        (hidden / f"{package}.py").write_text(
            f"raise ImportError('a step runs in a container without {package}: let its functions travel')\n"
        )
    return hidden


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
