"""Notebooks as they are in git: no outputs, stable ids, one kernel, few words and few lines a cell."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from pytest_notebook.nb_regression import NBRegressionFixture

from jukebox_helpers.workshop.exercises import CATALOGUE
from jukebox_helpers.workshop.notebooks import notebook_files
from jukebox_helpers.workshop.quizzes import questions

FILES = notebook_files()
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
SECTIONS = ("**You will be able to**", "**About**", "## Quiz", "## What just happened", "## Where next")


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def notebook(request):
    found = nbformat.read(request.param, as_version=4)
    nbformat.validate(found)
    return found


def test_there_are_ten_in_order():
    assert [file.name[0] for file in FILES] == list("0123456789")


def test_nothing_of_an_execution_is_kept(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None, cell.id


def test_metadata_is_on_the_list(notebook):
    assert notebook.metadata == {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}, cell.id
        assert set(cell.metadata.get("tags", [])) <= {"parameters", "solution", "check", "quiz"}, cell.id


def test_cell_ids_are_stable(notebook):
    name = notebook.cells[0].id.rsplit("-", 1)[0]
    assert [cell.id for cell in notebook.cells] == [f"{name}-{number:02d}" for number in range(len(notebook.cells))]


def test_each_part_is_there(notebook):
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert all(section in prose for section in SECTIONS)
    assert "```mermaid" in prose
    quizzes = [cell for cell in notebook.cells if "quiz" in cell.metadata.get("tags", [])]
    assert quizzes
    assert re.search(r"\*\*About\*\* \d+ minutes.*on a laptop.* in a cluster\.", prose)
    # A picture has a title for those who do not see it.
    assert prose.count("```mermaid") == prose.count("accTitle: ")


def test_cells_are_short_and_begin_with_prose(notebook):
    assert notebook.cells[0].cell_type == "markdown"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.source.count("\n") < 25 and max(map(len, cell.source.splitlines())) <= 120, cell.id


def test_the_first_code_cell_catches_up_and_holds_the_parameter(notebook):
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert first.metadata["tags"] == ["parameters"]
    assert re.search(r"^place = catch_up\(\d\)$", first.source, re.MULTILINE) and "solve = False" in first.source


def test_one_module_is_imported_once(notebook):
    first, *others = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert re.findall(r"^(?:from|import) .*", first, re.MULTILINE) == [first.splitlines()[0]]
    assert first.startswith("from jukebox_helpers.workshop import ")
    assert not re.findall(r"^\s*(?:from|import) .*", "\n".join(others), re.MULTILINE)


def test_every_exercise_and_every_quiz_is_used_once_with_a_check():
    text = "\n".join(cell.source for file in FILES for cell in nbformat.read(file, as_version=4).cells)
    assert re.findall(r'^exercise\("([\w-]+)"\)\.check', text, re.MULTILINE) == list(CATALOGUE)
    assert re.findall(r'^quiz\("([\w-]+)"\)', text, re.MULTILINE) == [question.name for question in questions()]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_links_lead_somewhere(file):
    for cell in nbformat.read(file, as_version=4).cells:
        for target in re.findall(r"\]\(([^)#]+)\)", cell.source if cell.cell_type == "markdown" else ""):
            # mlops-gitops is a clone beside this one.
            place = target.replace("../../mlops-gitops", "../mlops-gitops")
            assert (file.parent / place).exists(), target


def test_what_is_deterministic_gives_the_recorded_outputs():
    """Text forms of the pipeline's graph, a quiz and a song: executed again and compared with the recorded notebook."""
    check = NBRegressionFixture(exec_timeout=600, diff_ignore=("/metadata", "/cells/*/execution_count"))
    check.check(str(Path(__file__).with_name("recorded_outputs.ipynb")))


def test_files_end_and_are_indented_as_nbformat_writes_them():
    for file in FILES:
        text = file.read_text()
        assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
