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
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.arguments import check_arguments
from jukebox_helpers.pipelines.read import CompiledPipeline, read_pipeline
from jukebox_helpers.pipelines.runs import Run, RunFailed, Step
from jukebox_helpers.settings import Settings

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


def run_pipeline(
    source: Path | CompiledPipeline,
    arguments: dict[str, Any],
    settings: Settings,
    on_change: Callable[[Run], None] = lambda run: None,
    tracking_uri: str | None = None,
) -> Run:
    """Run a compiled pipeline on this machine and wait for it.

    Args:
        source: The compiled YAML, or a compiled pipeline that was changed after reading.
        arguments: The pipeline's arguments.
        settings: The platform whose secrets the steps get.
        on_change: Called whenever a step changes its state.
        tracking_uri: MLflow's tracking URI for the steps, where it is not the platform's own.

    Returns:
        The finished run.

    Raises:
        JukeboxError: Before anything starts, if an argument, a secret or a package is missing, by name.
        RunFailed: If a step has failed.
    """
    text = source.read_text() if isinstance(source, Path) else source.text()
    pipeline = read_pipeline(text) if isinstance(source, Path) else source
    check_arguments(pipeline, arguments)
    check_packages(pipeline, strict=settings.platform == "sandbox")
    environments = {label: container_env(pipeline, label, settings) for label in pipeline.executors}

    run_id = f"{pipeline.name}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    folder = settings.runs / run_id
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    (folder / "pipeline.yaml").write_text(text)
    steps = [Step(name) for name in pipeline.steps()]
    run = Run(run_id, pipeline.name, str(folder), arguments, steps, pid=os.getpid())
    run.save()

    environment = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    # UTF-8 as in the images, whatever the locale of this machine says.
    environment |= {"HOME": str(scratch), "TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    # Matplotlib looks at every font of the machine once, not in every run.
    environment["MPLCONFIGDIR"] = str(settings.state / "matplotlib")
    environment["PYTHONPATH"] = str(hide_jukebox(scratch))
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    if tracking_uri or settings.tracking_uri:
        environment["MLFLOW_TRACKING_URI"] = tracking_uri or settings.tracking_uri
    if settings.git_server:
        environment["JUKEBOX_GIT_SERVER"] = settings.git_server
    order = {
        "spec": with_environments(pipeline.spec, environments),
        "arguments": arguments,
        "folder": str(folder / "artifacts"),
    }
    started = time.monotonic()
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
        with (folder / "log.txt").open("w", buffering=1) as log:
            follow(child.stdout, run, log.write, on_change)
        failed = child.wait() != 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        shutil.rmtree(scratch, ignore_errors=True)
    run.seconds = round(time.monotonic() - started, 3)
    run.state = "failed" if failed else "succeeded"
    run.error = run.error if failed else ""
    for step in run.steps:
        if step.state in ("pending", "running"):
            step.state = "failed" if step.state == "running" else "skipped"
    run.save()
    on_change(run)
    if failed:
        raise RunFailed(run)
    return run


def check_packages(pipeline: CompiledPipeline, strict: bool) -> None:
    """Check that this environment has the packages that the steps would install in a cluster.

    Args:
        pipeline: The pipeline.
        strict: Whether the versions must be the same, too.

    Raises:
        JukeboxError: If one is missing, by name.
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
                raise JukeboxError(
                    f"Step {label.removeprefix('exec-')!r} declares {text}, but this environment has {version} of it.",
                    "Run the pipeline through ./jukebox, which installs requirements.txt; "
                    "after a change of requirements.txt, compile the pipelines again with ./jukebox compile.",
                )


def container_env(pipeline: CompiledPipeline, executor: str, settings: Settings) -> dict[str, str]:
    """The environment that the platform spec gives a step: the values of its secrets and field paths.

    Args:
        pipeline: The pipeline.
        executor: The step's executor label.
        settings: The platform whose secrets are meant.

    Returns:
        Values by variable.

    Raises:
        JukeboxError: If a secret, a key or a field path is missing, by name.
    """
    step = executor.removeprefix("exec-")
    platform = pipeline.platform_of(executor)
    environment = {}
    for entry in platform.get("secretAsEnv", []):
        try:
            secret = settings.secret(entry["secretName"])
        except JukeboxError as error:
            raise JukeboxError(f"Step {step!r}: {error.what}", error.next_action) from None
        for pair in entry["keyToEnv"]:
            if pair["secretKey"] not in secret:
                raise JukeboxError(
                    f"Step {step!r} needs the key {pair['secretKey']!r}, and Secret {entry['secretName']!r} has none.",
                    f"It has: {', '.join(secret)}. Add the key, or mend the step's use_secret_as_env.",
                )
            environment[pair["envVar"]] = secret[pair["secretKey"]]
    for entry in platform.get("fieldPathAsEnv", []):
        if entry["fieldPath"] != "metadata.namespace":
            raise JukeboxError(
                f"Step {step!r} asks for the field path {entry['fieldPath']!r}, which this machine does not have.",
                "Use metadata.namespace, or run the pipeline in the cluster.",
            )
        environment[entry["name"]] = settings.namespace
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
    (hidden / "jukebox_helpers.py").write_text(
        "raise ImportError('a step runs in a container without jukebox_helpers: let its functions travel')\n"
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
