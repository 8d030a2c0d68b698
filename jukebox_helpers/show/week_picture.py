"""A week of arriving data as one picture: what became a data version, what a model version, what was refused."""

from collections.abc import Sequence
from dataclasses import dataclass

from jukebox_helpers.show.charts import NEW, OLD, SECOND, Chart, tidy


@dataclass(frozen=True)
class Day:
    """What one day brought, and what became of it.

    ``kind`` is what arrived, e.g. ``corrected``; ``run`` the id of the data pipeline's run; ``data_version`` the md5
    that ``main`` names at the end of the day, ``revision`` the commit that the run made, empty where there was no news;
    ``model`` the model version that was registered, with its ``log_loss`` in nats; ``refused`` the step's own words
    where something was refused.
    """

    kind: str
    run: str
    data_version: str
    revision: str = ""
    model: str = ""
    log_loss: float | None = None
    refused: str = ""

    @property
    def outcome(self) -> str:
        """What became of the day, in two or three words."""
        if self.model:
            return "new model"
        if self.refused:
            return "model refused" if self.revision else "data refused"
        return "no news"


def week_chart(days: Sequence[Day]) -> Chart:
    """Draw a week: above which data version each day ended with, below the log-loss of the models.

    A data version keeps its letter, so one that comes back is seen to be the same bytes.
    """
    letters: dict[str, str] = {}
    for day in days:
        letters.setdefault(day.data_version, chr(ord("A") + len(letters)))
    words = "; ".join(f"day {number}, {day.kind}: {day.outcome}" for number, day in enumerate(days, 1))
    chart = Chart(7.4, 3.2, f"A week of arriving data. {words}.")
    above, below = chart.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    for number, day in enumerate(days, 1):
        colour = {"new model": NEW, "no news": OLD}.get(day.outcome, SECOND)
        height = list(letters).index(day.data_version)
        above.plot(number, height, marker="s", markersize=15, color=colour if day.revision else OLD)
        above.annotate(letters[day.data_version], (number, height), ha="center", va="center", color="white", fontsize=8)
        if day.outcome == "data refused":
            above.plot(number, height + 0.9, marker="x", markersize=9, markeredgewidth=2, color=SECOND)
    scored = [(number, day.log_loss) for number, day in enumerate(days, 1) if day.log_loss is not None]
    below.plot([number for number, _ in scored], [loss for _, loss in scored], marker="o", color=NEW)
    # A thousandth more or less is not a step, so the axis does not make one of it.
    losses = [loss for _, loss in scored] or [0.0]
    below.set_ylim(min(losses) - 0.05, max(losses) + 0.1)
    for number, day in enumerate(days, 1):
        if day.outcome == "model refused":
            below.plot(number, max(losses) + 0.07, marker="x", markersize=9, markeredgewidth=2, color=SECOND)
    above.set_yticks(range(len(letters)), [f"{letter} {md5[:8]}…" for md5, letter in letters.items()])
    above.set_ylim(-0.8, len(letters) + 0.2)
    above.set_title("data version on main, and ✗ what was refused", loc="left", fontsize=8)
    below.set_title("log-loss of the registered models (lower is better), and ✗ what the gate refused",
                    loc="left", fontsize=8)  # fmt: skip
    below.set_xticks(range(1, len(days) + 1), [f"day {n}\n{day.kind}" for n, day in enumerate(days, 1)])
    below.set_xlim(0.5, len(days) + 0.5)
    for axes in (above, below):
        tidy(axes)
    return chart
