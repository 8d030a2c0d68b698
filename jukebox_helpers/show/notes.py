"""A note in a notebook: something to read, with a mark and its colour."""

import html
from dataclasses import dataclass

MARKS: dict[str, tuple[str, str]] = {
    "passed": ("✓", "#2e7d32"),
    "failed": ("✗", "#c62828"),
    "not attempted": ("○", "#78909c"),
    "error": ("!", "#b7791f"),
    "note": ("→", "#1565c0"),
}


@dataclass(frozen=True, repr=False)
class Note:
    """Something to read: a hint, a solution, the result of a check.

    ``title`` is one short line, ``code`` preformatted text below the lines; ``kind``, an outcome or ``note``, chooses
    the mark and its colour.
    """

    title: str
    lines: tuple[str, ...] = ()
    code: str = ""
    kind: str = "note"

    def __repr__(self) -> str:
        body = [f"  {line}" for text in (*self.lines, self.code) if text for line in text.splitlines()]
        return "\n".join([f"{MARKS[self.kind][0]} {self.title}", *body])

    def _repr_html_(self) -> str:
        mark, colour = MARKS[self.kind]
        # The text keeps the theme's own colour, so it reads in the light and in the dark.
        body = "".join(f"<div>{html.escape(line)}</div>" for line in self.lines if line)
        code = f"<pre style='margin:6px 0 0'>{html.escape(self.code)}</pre>" if self.code else ""
        return (
            f"<div style='border-left:4px solid {colour};padding:4px 12px;margin:4px 0'>"
            f"<b><span style='color:{colour}'>{mark}</span> {html.escape(self.title)}</b>{body}{code}</div>"
        )
