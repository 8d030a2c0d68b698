"""Charts that read the same in a light and in a dark notebook, with no state beside the figure itself."""

from io import BytesIO
from typing import Any

from matplotlib.figure import Figure

OLD, NEW, SECOND = "#9aa7b4", "#1f4e79", "#d95f02"
"""A pale bar for what was, a dark line for what is, orange for what stands out; apart for colour-blind eyes, too."""

PIXELS = 84
"""Pixels of an inch in a notebook, which makes the smallest letters as large as those of the code."""


class Chart(Figure):
    """A matplotlib figure, in inches, that a notebook shows without pyplot, on its own white card.

    ``words`` says the same in words, for where there are no pictures.
    """

    def __init__(self, width: float, height: float, words: str) -> None:
        super().__init__(figsize=(width, height), layout="constrained", facecolor="white")
        self.words = words

    def __repr__(self) -> str:
        return self.words

    def __str__(self) -> str:
        return self.words

    def png(self) -> bytes:
        """The picture's bytes, at twice the size at which it is shown: sharp on fine displays, too."""
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=2 * PIXELS)
        return buffer.getvalue()

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        return self.png(), {
            "width": round(self.get_figwidth() * PIXELS),
            "height": round(self.get_figheight() * PIXELS),
        }


def tidy(axes: Any) -> None:
    """Take away from axes what says nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7, length=2)
