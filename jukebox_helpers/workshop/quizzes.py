"""Quizzes: a question, some answers, and why each is right or wrong. They can be answered again and again.

Where widgets are drawn, one clicks; everywhere else the question is text, and ``quiz(name).answer("b")`` answers it.
"""

import html
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import ipywidgets
import yaml

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.show.notes import Note


@dataclass(frozen=True, repr=False)
class Answer(Note):
    """What became of an answer; ``right`` says whether it is."""

    right: bool = False


@dataclass(frozen=True, repr=False)
class Quiz:
    """One question, by its name in notebooks: each answer with its explanation, and the right one's number, from 0."""

    name: str
    text: str
    right: int
    answers: tuple[tuple[str, str], ...]

    @property
    def letters(self) -> str:
        """The letters of the answers."""
        return "abcdef"[: len(self.answers)]

    def __repr__(self) -> str:
        answers = [f"  {letter}) {text}" for letter, (text, _) in zip(self.letters, self.answers, strict=True)]
        return "\n".join([f"? {self.text}", *answers, f'  Answer with quiz("{self.name}").answer("a").'])

    def answer(self, letter: str) -> Answer:
        """Answer with a letter, again if you like: whether it is right, and why. Another letter is a JukeboxError."""
        number = self.letters.find(letter.strip().lower())
        if number < 0 or not letter.strip():
            raise JukeboxError(f"There is no answer {letter!r}.", f"Answer with one of {', '.join(self.letters)}.")
        right = number == self.right
        return Answer(
            "Right" if right else "Not quite",
            (self.answers[number][1],),
            kind="passed" if right else "failed",
            right=right,
        )

    def widget(self) -> Any:
        """The question with buttons."""
        texts = [text for text, _ in self.answers]
        options = ipywidgets.RadioButtons(options=texts, value=None, layout={"width": "auto"})
        verdict = ipywidgets.HTML()

        def show(change: dict[str, Any]) -> None:
            verdict.value = self.answer(self.letters[texts.index(change["new"])])._repr_html_()

        options.observe(show, names="value")
        question = ipywidgets.HTML(f"<b>{html.escape(self.text)}</b>")
        # HTML widgets do not all take the theme's colour by themselves.
        for part in (question, verdict):
            part.style.text_color = "var(--jp-content-font-color1)"
        return ipywidgets.VBox([question, options, verdict])

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        bundle = self.widget()._repr_mimebundle_(**options) or {}
        return {**bundle, "text/plain": repr(self)}


@cache
def questions() -> tuple[Quiz, ...]:
    """All questions, in the order of the notebooks: those of ``questions.yaml`` beside this module."""
    return tuple(
        Quiz(
            name=entry["name"],
            text=entry["text"],
            right=[answer.get("right", False) for answer in entry["answers"]].index(True),
            answers=tuple((answer["text"], answer["why"]) for answer in entry["answers"]),
        )
        for entry in yaml.safe_load(files("jukebox_helpers.workshop").joinpath("questions.yaml").read_text("utf-8"))
    )


def quiz(name: str) -> Quiz:
    """A quiz of the workshop, by its name as in the notebooks; a JukeboxError if there is none of that name."""
    for question in questions():
        if question.name == name:
            return question
    raise JukeboxError(f"There is no quiz {name!r}.", f"There are: {', '.join(q.name for q in questions())}.")
