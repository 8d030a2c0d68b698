"""The runs of this machine, as their folders tell."""

from jukebox_helpers.pipelines.runs import Run
from jukebox_helpers.pipelines.training import find_run
from jukebox_helpers.settings import Settings


def test_the_newest_training_of_a_revision_is_found(tmp_path):
    settings = Settings("sandbox", tmp_path, "user1-toolings", "http://127.0.0.1:1", "http://127.0.0.1:2")
    first, other = "0123456789", "9876543210"
    for name, version in (
        ("training-pipeline-20261124-235959-aa", first),
        ("training-pipeline-20261125-000000-bb", first),
        ("training-pipeline-20261125-000001-cc", other),
        ("another-pipeline-20261125-000002-dd", first),
    ):
        (settings.runs / name).mkdir(parents=True)
        Run(name, "p", str(settings.runs / name), {"version": version}, state="succeeded").save()
    (settings.runs / "training-pipeline-20261125-000003-ee").mkdir()  # it has not begun
    assert find_run(settings, first + "a" * 30).id == "training-pipeline-20261125-000000-bb"
    assert find_run(settings, other).id == "training-pipeline-20261125-000001-cc"
    assert find_run(settings, "abcdef0123") is None
