"""The questions of the quizzes are a file that people edit: what a slip of theirs would break is checked here."""

from importlib.resources import files

import pytest
import yaml

from jukebox_helpers.workshop.quizzes import questions

ENTRIES = yaml.safe_load(files("jukebox_helpers.workshop").joinpath("questions.yaml").read_text("utf-8"))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_a_question_has_one_right_answer_and_a_reason_for_each(entry):
    assert set(entry) == {"name", "text", "answers"}
    assert [answer["right"] for answer in entry["answers"] if "right" in answer] == [True]
    for answer in entry["answers"]:
        assert set(answer) <= {"text", "why", "right"}
        assert all(isinstance(answer[key], str) and answer[key] for key in ("text", "why"))


def test_the_right_answer_is_the_marked_one():
    first = questions()[0]
    assert first.answers[first.right][0] == "The push event that the git server sends."
