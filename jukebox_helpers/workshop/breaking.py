"""Breaking a run on purpose: the data pipeline, stopped at a step."""

from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.pipelines.actions import import_file
from jukebox_helpers.pipelines.following import ask, start_run
from jukebox_helpers.pipelines.runs import take_over
from jukebox_helpers.pipelines.server import connect
from jukebox_helpers.waiting import wait_until
from jukebox_helpers.workshop.place import Workplace

PATIENCE = 900.0
"""Seconds within which a step must begin; in a cluster it first installs its packages."""


@as_jukebox_error()
def stop_at(place: Workplace, step: str) -> str:
    """Run the data pipeline for the songs at their address, and stop the run in the middle of a step.

    As *Stop* in the dashboard does, and as a node that dies. Returns how far the run came, in a sentence. A step that
    the pipeline does not have is a JukeboxError.
    """
    server = connect(place.settings)
    pipeline = import_file(place.settings, place.data_pipeline)
    if step not in (steps := pipeline.compiled.steps()):
        raise JukeboxError(f"There is no step {step!r}.", f"Name one of {', '.join(steps)}.")
    arguments = {"dataset_url": place.songs_url, "repo_url": place.settings.repository_url()}
    run = start_run(server, pipeline, arguments)

    def reached() -> bool:
        take_over(run, ask(server, run.id))
        begun = any(one.name == step and one.state != "pending" for one in run.steps)
        return begun or run.state != "running"

    late = JukeboxError(
        f"The step {step!r} did not begin within {PATIENCE:.0f} s.", "Look at the run in the dashboard."
    )
    wait_until(reached, PATIENCE, lambda: late, every=0.05)
    if run.state == "running":
        with server.asking():
            server.client.terminate_run(run.id)
        wait_until(lambda: take_over(run, ask(server, run.id)) or run.state != "running", PATIENCE, lambda: late)
    done = [one.name for one in run.steps if one.state == "succeeded"]
    return f"The run {run.state}. Done before that: {', '.join(done) or 'nothing'}."
