"""Running a compiled pipeline on this machine: the sandbox's runner, started as a program."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.arguments import check_arguments
from jukebox_helpers.pipelines.read import CompiledPipeline, read_pipeline
from jukebox_helpers.pipelines.runs import Run, RunFailed, run_from
from jukebox_helpers.settings import KIT, Settings


def run_pipeline(
    source: Path | CompiledPipeline,
    arguments: dict[str, Any],
    settings: Settings,
    on_change: Callable[[Run], None] = lambda run: None,
) -> Run:
    """Run a compiled pipeline on this machine and wait for it.

    Args:
        source: The compiled YAML, or a compiled pipeline that was changed after reading.
        arguments: The pipeline's arguments.
        settings: The platform whose secrets the steps get.
        on_change: Called whenever a step changes its state.

    Returns:
        The finished run.

    Raises:
        JukeboxError: Before anything starts, if an argument, a secret or a package is missing, by name.
        RunFailed: If a step has failed.
    """
    run = ask_runner(source, arguments, settings, on_change)
    if run.state == "failed":
        raise RunFailed(run)
    return run


def check_pipeline(source: Path | CompiledPipeline, settings: Settings) -> None:
    """Check that a compiled pipeline could start on this machine; JukeboxError says what is missing, by name."""
    ask_runner(source, None, settings)


def sandbox_program(*arguments: str | Path) -> dict[str, Any]:
    """What starts the sandbox's program with this Python, which finds it in the kit.

    Args:
        arguments: Its command and what it takes.

    Returns:
        ``args`` and ``env``, for `subprocess`.
    """
    search = os.pathsep.join([str(KIT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "jukebox_sandbox", *map(str, arguments)]
    return {"args": command, "env": {**os.environ, "PYTHONPATH": search}}


def refusal(said: str) -> JukeboxError:
    """The error that the sandbox's program printed last, as one of ours."""
    try:
        known = json.loads(said.strip().splitlines()[-1])
        return JukeboxError(known["what"], known["next"])
    except (ValueError, KeyError, IndexError, TypeError):
        return JukeboxError(f"The sandbox's program failed: {said.strip()[-2000:]}", "Run ./jukebox doctor.")


def order_for(source: Path | CompiledPipeline, arguments: dict[str, Any] | None, settings: Settings) -> dict[str, Any]:
    """What the runner reads on its standard input; see `ask_runner`. It holds no secret."""
    text = source.read_text() if isinstance(source, Path) else source.text()
    pipeline = read_pipeline(text) if isinstance(source, Path) else source
    if arguments is not None:
        check_arguments(pipeline, arguments)
    return {
        "pipeline": text,
        "arguments": arguments or {},
        "runs": str(settings.runs),
        "namespace": settings.namespace,
        "steps": pipeline.steps(),
        "state": str(settings.state) if settings.platform == "sandbox" else "",
        "variables": settings.step_variables,
        "check": arguments is None,
    }


def ask_runner(
    source: Path | CompiledPipeline,
    arguments: dict[str, Any] | None,
    settings: Settings,
    on_change: Callable[[Run], None] = lambda run: None,
) -> Run:
    """Give the runner an order, and follow what it says.

    Args:
        source: The compiled pipeline.
        arguments: The pipeline's arguments; None only checks that it could start.
        settings: The platform.
        on_change: Called whenever a step changes its state.

    Returns:
        The run in its last state.

    Raises:
        JukeboxError: If the runner refuses.
    """
    order = order_for(source, arguments, settings)
    runner = subprocess.Popen(
        **sandbox_program("run"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert runner.stdin and runner.stdout and runner.stderr
    run: Run | None = None
    try:
        # Its end stays open: when this process dies, the runner sees it close and ends with all its steps.
        runner.stdin.write(json.dumps(order) + "\n")
        runner.stdin.flush()
        for line in runner.stdout:
            run = run_from(json.loads(line))
            on_change(run)
        said = runner.stderr.read()
    finally:
        runner.stdin.close()
        runner.wait()
        runner.stdout.close()
        runner.stderr.close()
    if run is None or runner.returncode:
        raise refusal(said)
    return run
