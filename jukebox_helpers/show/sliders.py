"""What one sees of a model that plays: a control for each feature of a song, and bars of the countries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets
import numpy as np
from babel import Locale

from jukebox_helpers.show.charts import NEW, SECOND, Chart, tidy
from jukebox_helpers.show.player import Player, Probabilities

SHOWN = 12
"""How many countries a picture shows."""


@dataclass(frozen=True)
class Control:
    """How people set one feature.

    ``label`` is what they call it, with the unit; ``typical`` where it is at first, in the unit of the data. ``low``,
    ``high`` and ``step`` are in the unit shown, and most songs lie between the first two. ``scale`` is how many units
    of the data make one unit shown. ``choices`` names the values of a feature that is not a quantity.
    """

    label: str
    typical: float
    low: float = 0.0
    high: float = 1.0
    step: float = 0.01
    scale: float = 1.0
    choices: tuple[str, ...] = ()


CONTROLS = {
    "is_explicit": Control("explicit words", 0, choices=("no", "yes")),
    "duration_ms": Control("duration, s", 180_000, low=30, high=600, step=1, scale=1000),
    "danceability": Control("danceability", 0.7),
    "energy": Control("energy", 0.67),
    "key": Control("key", 0, choices=("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")),
    "loudness": Control("loudness, dB", -6.6, low=-37, high=3, step=0.1),
    "mode": Control("mode", 1, choices=("minor", "major")),
    "speechiness": Control("speechiness", 0.07),
    "acousticness": Control("acousticness", 0.2),
    "instrumentalness": Control("instrumentalness", 0.0),
    "liveness": Control("liveness", 0.13),
    "valence": Control("valence (mood)", 0.54),
    "tempo": Control("tempo, BPM", 122, low=40, high=236, step=1),
}


def typical_song() -> dict[str, float]:
    """A song in the middle of the charts: a value for each of the 13 features, to change and to play."""
    return {name: control.typical for name, control in CONTROLS.items()}


def country_name(code: str) -> str:
    """A country's code with its name, e.g. ``IS Iceland``."""
    name = Locale("en").territories.get(code)
    return f"{code} {name}" if name else code


def bars_in_words(probabilities: Probabilities, others: Probabilities | None, names: Sequence[str]) -> str:
    """The likeliest countries as lines of text, with the probabilities of both versions."""
    second = dict(others or [])
    lines = [f"{'':<26}{names[0]}" + (f"  {names[1]}" if others is not None else "")]
    for code, probability in probabilities[:SHOWN]:
        other = f"{second.get(code, 0):>{len(names[1]) + 2}.1%}" if others is not None else ""
        lines.append(f"{country_name(code):<26.25}{probability:>{len(names[0])}.1%}{other}")
    return "\n".join(lines)


def country_bars(
    probabilities: Probabilities,
    others: Probabilities | None = None,
    names: Sequence[str] = ("this version", "other version"),
) -> Chart:
    """Draw the countries that would most likely play a song: a bar for each of the first version's twelve likeliest.

    The probabilities are those of `Player.countries`; others, of another version, are drawn beside them. ``names`` is
    what the two are called.
    """
    first = probabilities[:SHOWN]
    places = np.arange(len(first))
    chart = Chart(5.6, 4.7, bars_in_words(probabilities, others, names))
    axes = chart.subplots()
    bars = {names[0]: ([100 * share for _, share in first], NEW)}
    if others is not None:
        second = dict(others)
        bars[names[1]] = ([100 * second.get(code, 0.0) for code, _ in first], SECOND)
    thick = 0.8 / len(bars)
    for number, (label, (shares, colour)) in enumerate(bars.items()):
        at = places + (number - (len(bars) - 1) / 2) * thick
        axes.bar_label(axes.barh(at, shares, thick, color=colour, label=label), fmt="%.1f", padding=2, fontsize=7)
    tidy(axes)
    axes.set_yticks(places, [country_name(code) for code, _ in first], fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel("probability, in %", fontsize=8)
    # Above the bars, where no bar can reach it.
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8, frameon=False)
    return chart


class SongSliders(ipywidgets.VBox):
    """A control for each of the 13 features, and the countries that would play such a song, by one or two players."""

    def __init__(self, player: Player, other: Player | None = None) -> None:
        self.players = [player, *([other] if other else [])]
        self.controls = {name: widget_of(control) for name, control in CONTROLS.items()}
        # Beside the controls where there is room, else beneath them.
        beside = {"flex": "1 1 420px", "min_width": "0", "max_width": "600px", "align_self": "flex-start"}
        self.picture = ipywidgets.Image(format="png", layout=beside)
        knobs = ipywidgets.VBox(list(self.controls.values()))
        super().__init__([ipywidgets.HBox([knobs, self.picture], layout={"flex_flow": "row wrap"})])
        for widget in self.controls.values():
            widget.observe(lambda change: self.redraw(), names="value")
        self.redraw()

    @property
    def song(self) -> dict[str, float]:
        """The song as it is set, in the unit of the data."""
        return {name: round(widget.value * CONTROLS[name].scale, 6) for name, widget in self.controls.items()}

    @property
    def countries(self) -> list[Probabilities]:
        """Where it would be played, for each model version."""
        return [player.countries(self.song) for player in self.players]

    def chart(self) -> Chart:
        """The bars of the song as it is set."""
        first, *others = self.countries
        return country_bars(first, others[0] if others else None, [player.title for player in self.players])

    def redraw(self) -> None:
        """Draw the bars anew."""
        chart = self.chart()
        self.picture.value = chart.png()
        self.picture.alt = repr(chart)

    def __repr__(self) -> str:
        return repr(self.chart())

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any] | None:
        bundle = super()._repr_mimebundle_(**options)
        return bundle and {**bundle, "text/plain": repr(self)}


def widget_of(control: Control) -> Any:
    """The widget with which people set a feature. It answers when it is let go: drawing takes a moment."""
    look: dict[str, Any] = {"description": control.label, "style": {"description_width": "130px"}}
    if control.choices:
        options = [(name, number) for number, name in enumerate(control.choices)]
        return ipywidgets.Dropdown(options=options, value=int(control.typical), **look)
    return ipywidgets.FloatSlider(
        value=control.typical / control.scale, min=control.low, max=control.high, step=control.step,
        readout_format=".0f" if control.step == 1 else ".2f", continuous_update=False, **look,
    )  # fmt: skip


def sliders(player: Player, other: Player | None = None) -> SongSliders:
    """Set a song by hand and see where one model version, or two to compare, would play it.

    Of the widget, ``.song`` and ``.countries`` say what it shows, and its text form does where there are no widgets.
    """
    return SongSliders(player, other)
