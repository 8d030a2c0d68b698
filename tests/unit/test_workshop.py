import pytest

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import KIT
from jukebox_helpers.workshop import edits

GITOPS = KIT / "mlops-gitops" / "toolings" / "minio" / "config.yaml"


def test_a_file_without_the_places_is_refused(tmp_path):
    file = tmp_path / "pipeline.py"
    file.write_text("print('something else')\n")
    with pytest.raises(JukeboxError, match="to edit"):
        edits.train_on_versioned_data(file)
    assert file.read_text() == "print('something else')\n"


def test_buckets_are_added_once(tmp_path):
    from jukebox_sandbox.buckets import read_config

    file = tmp_path / "config.yaml"
    file.write_text(GITOPS.read_text())
    assert edits.add_buckets(file, ["data", "models"])
    assert not edits.add_buckets(file, ["data", "models"])
    assert read_config(file) == ["pipeline", "models", "data"]
