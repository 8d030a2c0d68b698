"""A week of arriving data: each day songs arrive, the daily schedule runs once, and a picture says what came of it."""

import base64
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jukebox_helpers import sandbox
from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.pipelines.actions import DATA_PIPELINE_NAME, import_file, schedule_data_pipeline
from jukebox_helpers.pipelines.following import OnChange, follow, list_runs, nobody, read_run
from jukebox_helpers.pipelines.revisions import REVISION_DIGITS
from jukebox_helpers.pipelines.runs import Run, RunFailed
from jukebox_helpers.pipelines.server import PipelineServer, connect
from jukebox_helpers.pipelines.training import follow_training
from jukebox_helpers.show.week_picture import Day, week_chart
from jukebox_helpers.steps.data_cache import cache_key
from jukebox_helpers.steps.messages import printable
from jukebox_helpers.waiting import wait_until
from jukebox_helpers.workshop.place import Workplace
from jukebox_helpers.workshop.views import Table

WEEK = ("fresh", "same", "corrected", "broken", "drift", "corrected", "same")
"""What each day brings. The drift of day 5 is taken back on day 6."""

TWO_DAYS = ("fresh", "broken")
"""In a cluster, where nobody can move the clock, and a training takes minutes."""

FIRES = 60.0
"""Seconds within which a schedule that is due has started its run."""


@dataclass(frozen=True, repr=False)
class Week:
    """Some days of arriving data, and what became of each. ``commits`` is where the git server shows a commit."""

    days: tuple[Day, ...]
    commits: str = ""

    def __repr__(self) -> str:
        lines = []
        for number, day in enumerate(self.days, 1):
            made = f"  model {day.model}, log-loss {day.log_loss}" * bool(day.model)
            lines.append(f"day {number}  {day.kind:<10}{day.outcome:<15}data {day.data_version[:10]}…{made}")
            lines += [f"       {line}" for line in day.refused.splitlines()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        chart = week_chart(self.days)
        rows = [
            {
                "day": number, "arrived": day.kind, "became": day.outcome,
                "its bytes": f"s3://data-cache/{cache_key(day.data_version)}",
                "commit": f"{self.commits}/{day.revision}" * bool(day.revision),
                "model": day.model, "log-loss": day.log_loss or "", "why": day.refused,
            }
            for number, day in enumerate(self.days, 1)
        ]  # fmt: skip
        return (
            f'<img alt="{html.escape(chart.words)}" style="max-width: 46rem; width: 100%" '
            f'src="data:image/png;base64,{base64.b64encode(chart.png()).decode()}">{Table(rows)._repr_html_()}'
        )


@as_jukebox_error()
def week(
    place: Workplace,
    kinds: Sequence[str] = (),
    say: Callable[[str], Any] = print,
    show: OnChange = nobody,
) -> Week:
    """Let the songs of some days arrive, one day after the other, and see what becomes of each.

    On a laptop the clock is moved by a day, and the daily schedule of the data pipeline runs, once; it is made where
    there is none. In a cluster each day is a run by hand. ``kinds`` is what each day brings: a whole week on a laptop,
    two days in a cluster where not given. ``say`` gets a line for each day, ``show`` each change of a run. What is
    refused is part of the week; what cannot run at all is a JukeboxError.
    """
    chosen = tuple(kinds) or (WEEK if place.settings.is_sandbox else TWO_DAYS)
    server, days = connect(place.settings), list[Day]()
    schedule = daily_schedule(place, server) if place.settings.is_sandbox else ""
    for number, kind in enumerate(chosen, 1):
        days.append(one_day(place, server, schedule, kind, show))
        news = f", {days[-1].model}" * bool(days[-1].model)
        say(f"day {number} of {len(chosen)}: {kind}: {days[-1].outcome}{news}")
    return Week(tuple(days), f"{place.settings.repository_url().removesuffix('.git')}/commit")


def daily_schedule(place: Workplace, server: PipelineServer) -> str:
    """The id of the daily schedule of the data pipeline: the one that is on, or one that is made now."""
    for known in server.schedules(f"{DATA_PIPELINE_NAME}-daily"):
        if known.status == "ENABLED":
            return known.recurring_run_id
    import_file(place.settings, place.data_pipeline)
    return schedule_data_pipeline(place.settings, place.songs_url, None).id


def one_day(place: Workplace, server: PipelineServer, schedule: str, kind: str, show: OnChange) -> Day:
    """Let a day's songs arrive, run the data pipeline, by its schedule if there is one, and follow what it starts."""
    place.publish(kind)
    before = place.head()
    try:
        run = scheduled_run(place, server, schedule, show) if schedule else run_by_hand(place, show)
    except RunFailed as error:
        return Day(kind, error.run.id, place.version_on_main(), refused=in_short(error.run.error))
    revision, md5 = place.head(), place.version_on_main()
    if revision == before:
        return Day(kind, run.id, md5)
    training = follow_training(place.settings, revision, show)
    scores = {record["version"]: record["metadata"].get("metric.log_loss") for record in place.versions()}
    model = revision[:REVISION_DIGITS] if revision[:REVISION_DIGITS] in scores else ""
    return Day(kind, run.id, md5, revision, model, scores.get(model), in_short(training.error))


def run_by_hand(place: Workplace, show: OnChange) -> Run:
    """Run the data pipeline once, from the clone's compiled YAML, for the songs at their address."""
    runs: list[Run] = []

    def both(run: Run) -> None:
        runs.append(run)
        show(run)

    place.run_data_pipeline(show=both)
    return runs[-1]


def scheduled_run(place: Workplace, server: PipelineServer, schedule: str, show: OnChange) -> Run:
    """Move the clock of the laptop's platform by a day, and follow the run that the schedule starts then."""

    def runs() -> list[str]:
        newest = list_runs(server, 20)
        return [one.run_id for one in newest if one.recurring_run_id == schedule]

    known = runs()
    sandbox.move_clock(place.settings.state)
    late = JukeboxError(
        "A day has passed, and the schedule has started no run.", "Look at Runs → Schedules in the dashboard."
    )
    started = wait_until(lambda: [one for one in runs() if one not in known], FIRES, lambda: late)
    return follow(server, read_run(server, started[-1]), show)


def in_short(error: str) -> str:
    """Why something was refused, in a line: the first of the reasons where they are a list, and how many more."""
    reasons = [line.removeprefix("- ") for line in error.splitlines() if line.startswith("- ")]
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return printable((reasons or error.splitlines() or [""])[0], 120) + more
