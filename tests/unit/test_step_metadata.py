"""Facts between steps come through ML Metadata as they were."""

import pytest

from jukebox_helpers.steps.metadata import read_json, recorded


def through_ml_metadata(metadata):
    """What the next step of a cluster finds: a struct is wrapped, a number is a double, a bool is a number."""
    wrapped = {key: {"struct": value} if isinstance(value, dict) else value for key, value in metadata.items()}
    numbers = {key: float(value) if isinstance(value, int) else value for key, value in wrapped.items()}
    return numbers | {"display_name": "features", "store_session_info": "{}"}


def test_scalars_and_texts_come_through_unchanged():
    facts = {"songs rows": 14245, "loss": 2.5, "git revision": "0" * 40, "parameters": '{"epochs": 20}'}
    assert repr(recorded(through_ml_metadata(facts))) == repr(facts)


def test_of_a_fact_that_several_artifacts_have_the_last_one_counts():
    assert recorded({"version": "a", "rows": 1.0}, {"version": "b"}) == {"version": "b", "rows": 1}


@pytest.mark.parametrize("fact", [{"epochs": 20}, [1, 2], None])
def test_what_would_come_back_as_something_else_is_refused_by_name(fact):
    with pytest.raises(ValueError, match="'parameters' is a .*Next: record a str"):
        recorded({"parameters": fact})


def test_a_struct_that_an_earlier_version_registered_is_read():
    assert read_json('{"struct": {"epochs": 20.0}}') == read_json('{"epochs": 20}') == {"epochs": 20}
    assert read_json('{"struct": {"a": 1}, "other": 2}')["other"] == 2
