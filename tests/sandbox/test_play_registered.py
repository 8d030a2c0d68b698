"""Playing a registered model: from a real registry and a real bucket, the very bytes of the record."""

import hashlib

import pytest

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.registry import model_registry
from jukebox_helpers.show import player as player_module
from jukebox_helpers.steps import s3, sample_data, sample_rankings
from jukebox_helpers.steps.export import export_onnx
from jukebox_helpers.steps.model import train
from jukebox_helpers.steps.preparation import prepare

FIRST, SECOND = "aaaaaaaaaa", "bbbbbbbbbb"


@pytest.fixture(scope="module")
def platform(sandbox, tmp_path_factory):
    """A sandbox whose registry holds two versions of a small model."""
    folder = tmp_path_factory.mktemp("play")
    songs, rankings, table, counts, model = (str(folder / name) for name in "srtcm")
    sample_data.make_songs(songs, songs=300)
    sample_rankings.make_rankings(rankings, songs, rows=10_000, countries=20)
    prepare(songs, rankings, table, counts)
    client = s3.s3_client(sandbox.secret("aws-connection-models"))
    models = model_registry(sandbox)
    for version, epochs in {FIRST: 1, SECOND: 4}.items():
        train(table, counts, {"epochs": epochs}, model)
        sha256 = export_onnx(model, str(folder / version), {})["sha256"]
        client.upload_file(str(folder / version), "models", f"player/{version}/model.onnx")
        uri = f"s3://models/player/{version}/model.onnx"
        models.register("player", version, uri, {"model sha256": sha256})
    return sandbox


@pytest.fixture(scope="module")
def player(platform):
    return player_module.load_model(platform, "player", FIRST)


def test_the_bytes_that_were_registered_are_loaded(platform, player):
    assert player.title == f"player {FIRST}"
    digest = hashlib.sha256(player.path.read_bytes()).hexdigest()
    assert digest == player.record["metadata"]["model sha256"]
    assert player_module.load_model(platform, "player").title == f"player {SECOND}"


def test_other_bytes_under_the_same_name_are_refused(platform):
    client = s3.s3_client(platform.secret("aws-connection-models"))
    key = f"player/{SECOND}/model.onnx"
    whole = client.get_object(Bucket="models", Key=key)["Body"].read()
    client.put_object(Bucket="models", Key=key, Body=whole[:-1] + b"x")
    with pytest.raises(JukeboxError, match="is not the model that was registered as player bbbbbbbbbb"):
        player_module.load_model(platform, "player", SECOND)
    client.put_object(Bucket="models", Key=key, Body=whole)
    assert player_module.load_model(platform, "player", SECOND).path.read_bytes() == whole


def test_a_model_or_an_object_that_is_not_there_is_named(platform):
    with pytest.raises(JukeboxError, match="no version 'cccccccccc'.*bbbbbbbbbb, aaaaaaaaaa"):
        player_module.load_model(platform, "player", "cccccccccc")
    models = model_registry(platform)
    models.register("lost", FIRST, "s3://models/lost/model.onnx", {"model sha256": "0" * 64})
    with pytest.raises(JukeboxError, match="no object s3://models/lost/model.onnx"):
        player_module.load_model(platform, "lost")
