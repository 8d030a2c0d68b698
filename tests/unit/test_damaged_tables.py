"""A damaged table is refused in words, or becomes a version that reads back equal: there is nothing in between."""

import pyarrow.parquet
import pytest
from damaged_tables import DamagedTable, check_refusal, damaged_songs, rows_of, some_songs, what_becomes_of_it
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


@pytest.fixture(scope="module")
def songs(folder):
    return some_songs(folder)


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_table_is_refused_in_words_or_reads_back_equal(songs, folder, data):
    what_becomes_of_it(data.draw(damaged_songs(songs)), folder)


def test_both_ends_are_reached_and_an_undamaged_table_is_a_version(songs, folder):
    pyarrow.parquet.write_table(songs, folder / "whole.parquet")
    whole = (folder / "whole.parquet").read_bytes()
    assert what_becomes_of_it(DamagedTable((), whole), folder) == ""
    assert "is not a readable Parquet file" in what_becomes_of_it(DamagedTable((), whole[:-9]), folder)
    assert len(rows_of(songs)) == 60


@pytest.mark.parametrize(
    "said",
    [
        "Bad. Next: try again.",
        "column 'x' is bad.",
        "column 'x\x1b[2J' is bad. Next: try again.",
        "column 'x' is bad.\nNext: run this\nNext: try again.",
        f"column '{'x' * 12_000}' is bad. Next: try again.",
    ],
)
def test_a_sentence_that_explains_nothing_or_forges_a_line_is_found(said):
    with pytest.raises(AssertionError):
        check_refusal(said)
