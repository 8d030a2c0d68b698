"""Where a revision's rankings come from."""

import json

import pytest

from jukebox_helpers.pipelines.revisions import default_parameters
from jukebox_helpers.settings import DEFAULT_PARAMETERS, KIT
from jukebox_helpers.steps.rankings import rankings_source, refuse_made_up
from jukebox_helpers.workshop import edits


@pytest.fixture
def revision(tmp_path):
    """A checkout whose ``default_parameters.json`` says what it is given."""
    file = tmp_path / "revision" / DEFAULT_PARAMETERS
    file.parent.mkdir(parents=True)

    def revision(text):
        file.write_text(text)
        return tmp_path / "revision"

    return revision


def test_the_kit_ships_with_sample_rankings_which_are_no_argument_of_the_pipeline():
    assert rankings_source(str(KIT)) == "sample"
    assert "rankings" not in default_parameters(KIT)


def test_a_revision_without_the_key_or_the_file_gets_sample_rankings(revision, tmp_path):
    assert rankings_source(str(revision('{"model_name": "x"}'))) == "sample"
    assert rankings_source(str(tmp_path)) == "sample"


def test_the_workshop_edit_names_an_address(revision):
    folder = revision('{"model_name": "x", "rankings": "sample"}')
    edits.name_rankings(folder / DEFAULT_PARAMETERS, "s3://data/mine.parquet")
    assert rankings_source(str(folder)) == "s3://data/mine.parquet"
    assert json.loads((folder / DEFAULT_PARAMETERS).read_text())["model_name"] == "x"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not a JSON object"),
        ("[]", "is not a JSON object"),
        ("[" * 100_000, "is not a JSON object"),
        ('{"rankings": "song_rankings.parquet"}', "neither an s3:// or https:// address"),
        ('{"rankings": "http://example.com/rankings.parquet"}', "neither an s3:// or https:// address"),
        ('{"rankings": null}', "has None as its rankings"),
    ],
)
def test_what_cannot_be_a_source_is_refused(revision, text, problem):
    with pytest.raises(ValueError, match=f"default_parameters.json of this revision .*{problem}.*Next: "):
        rankings_source(str(revision(text)))


def test_a_model_for_production_is_not_trained_on_made_up_rankings():
    made_up = {"rankings source": "made up (sample)"}
    with pytest.raises(ValueError, match="made up.*prod_flag.*Next: name the address"):
        refuse_made_up(made_up, prod_flag=True)
    refuse_made_up(made_up, prod_flag=False)
    refuse_made_up({"rankings source": "s3://data/mine.parquet"}, prod_flag=True)
