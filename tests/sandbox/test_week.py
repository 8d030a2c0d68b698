"""A week of arriving data: the schedule runs once a day, and each day ends in what the picture says."""

import os

import pytest

from jukebox_helpers import sandbox as laptop
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.actions import DATA_PIPELINE_NAME
from jukebox_helpers.pipelines.following import list_runs
from jukebox_helpers.pipelines.server import connect
from jukebox_helpers.settings import DATA_PIPELINE_YAML
from jukebox_helpers.steps.data_cache import cache_key
from jukebox_helpers.workshop.arrivals import week
from jukebox_helpers.workshop.catching_up import catch_up


@pytest.fixture
def place(tmp_path):
    before = dict(os.environ)
    os.environ["JUKEBOX_STATE"] = str(tmp_path / "state")
    laptop.up(tmp_path / "state", lifeline=True)
    try:
        yield catch_up(5, lambda line: None)
    finally:
        laptop.down(tmp_path / "state")
        os.environ.clear()
        os.environ.update(before)


def own_schedule(place):
    """A daily schedule as the dashboard's form makes one, with its defaults."""
    server = connect(place.settings)
    pipeline = server.client.upload_pipeline(str(place.clone / DATA_PIPELINE_YAML), DATA_PIPELINE_NAME).pipeline_id
    (version,) = server.client.list_pipeline_versions(pipeline).pipeline_versions
    arguments = {"dataset_url": place.songs_url, "repo_url": place.settings.repository_url()}
    return server.client.create_recurring_run(
        server.client.get_experiment(experiment_name="Default").experiment_id, f"{DATA_PIPELINE_NAME}-daily",
        interval_second=86400, max_concurrency=10, no_catchup=False, params=arguments, pipeline_id=pipeline,
        version_id=version.pipeline_version_id,
    ).recurring_run_id  # fmt: skip


# One story: each day begins with what the day before has left.
def test_each_day_ends_in_what_its_songs_deserve(place):
    schedule, lines = own_schedule(place), []
    found = week(place, ("first", "same", "broken", "drift"), say=lines.append)

    assert [day.outcome for day in found.days] == ["new model", "no news", "data refused", "model refused"]
    assert lines[1:] == ["day 2 of 4: same: no news", "day 3 of 4: broken: data refused",
                         "day 4 of 4: drift: model refused"]  # fmt: skip
    first, same, broken, drift = found.days
    runs = list_runs(connect(place.settings), 100)
    by_schedule = [run.run_id for run in runs if run.recurring_run_id == schedule]
    assert sorted(by_schedule) == sorted(day.run for day in found.days)

    assert first.data_version == same.data_version == broken.data_version != drift.data_version
    assert drift.data_version == place.version_on_main() and drift.revision == place.head()
    assert [record["version"] for record in place.versions()] == [first.model] == [first.revision[:10]]
    assert broken.refused.startswith("column 'energy' must be between 0.0 and 1.0: 25 of 2000 rows")
    assert "better than the prior's" in drift.refused
    page = found._repr_html_()
    for day in (first, drift):
        assert f"{place.settings.repository_url().removesuffix('.git')}/commit/{day.revision}" in page
        assert f"s3://data-cache/{cache_key(day.data_version)}" in page and place.cached_version(day.data_version)
    assert "day 3, broken: data refused" in page
    assert f"model {first.model}, log-loss {first.log_loss}" in repr(found)

    with pytest.raises(JukeboxError, match="The clock was not moved: .*forward by whole days"):
        laptop.move_clock(place.settings.state, -1)


def test_a_clock_of_no_sandbox_is_not_moved(tmp_path):
    with pytest.raises(JukeboxError, match="No sandbox is running in .*\nNext: Start it with"):
        laptop.move_clock(tmp_path)
