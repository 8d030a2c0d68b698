"""Playing a model: real registry, real bucket, real model; what is drawn is what the model says."""

import hashlib
import math

import numpy
import pytest

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.show import player as player_module
from jukebox_helpers.show import sliders
from jukebox_helpers.show.sliders import CONTROLS, country_name
from jukebox_helpers.steps import registry_mlflow, s3, sample_data, sample_rankings
from jukebox_helpers.steps.export import export_onnx
from jukebox_helpers.steps.model import train
from jukebox_helpers.steps.preparation import prepare
from jukebox_helpers.steps.schemas import features
from jukebox_helpers.steps.scoring import onnx_probabilities

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
    models = registry_mlflow.mlflow_registry(sandbox.tracking_uri)
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


def song(**changes):
    return sliders.typical_song() | changes


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
    models = registry_mlflow.mlflow_registry(platform.tracking_uri)
    models.register("lost", FIRST, "s3://models/lost/model.onnx", {"model sha256": "0" * 64})
    with pytest.raises(JukeboxError, match="NoSuchKey|does not exist"):
        player_module.load_model(platform, "lost")


def test_countries_are_those_of_the_model_sorted(player):
    found = player.countries(song(energy=0.9))
    labels, expected = onnx_probabilities(
        str(player.path), {name: numpy.array([value]) for name, value in song(energy=0.9).items()}
    )
    assert dict(found) == dict(zip(labels, expected[0].tolist(), strict=True))
    shares = [share for _, share in found]
    assert shares == sorted(shares, reverse=True)
    assert len(found) == 20
    assert math.isclose(sum(shares), 1, rel_tol=1e-5)
    assert found != player.countries(song(energy=0.1))
    assert player.countries(dict(reversed(song(energy=0.9).items()))) == found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loudnes": 1}, "does not know loudnes"),
        ({"energy": 1.2}, "energy is 1.2.*number from 0.0 to 1.0"),
        ({"energy": math.nan}, "energy is nan"),
        ({"energy": None}, "energy is None"),
        ({"tempo": "fast"}, "tempo is 'fast'.*number from 0.0 to 1,000.0"),
        ({"loudness": -101}, "loudness is -101.*number from -100.0 to 20.0"),
        ({"key": 3.5}, "key is 3.5.*whole number from -1 to 11"),
        ({"is_explicit": 2}, "is_explicit is 2.*whole number from 0 to 1"),
        ({"duration_ms": -1}, "duration_ms is -1.*whole number from 0 to 86,400,000"),
    ],
)
def test_what_is_no_song_is_refused_with_its_range(player, changes, message):
    with pytest.raises(JukeboxError, match=f"(?s){message}"):
        player.countries(song(**changes))


def test_a_song_without_all_features_is_refused(player):
    with pytest.raises(JukeboxError, match="lacks key, mode"):
        player.countries({name: value for name, value in song().items() if name not in ("key", "mode")})


def test_every_feature_has_a_control_whose_whole_range_can_be_played():
    assert list(CONTROLS) == features()
    for name, control in CONTROLS.items():
        ends = (0, len(control.choices) - 1) if control.choices else (control.low, control.high)
        for end in ends:
            assert player_module.check_song(song(**{name: end * control.scale}))
        assert ends[0] <= control.typical / control.scale <= ends[1]


def test_bars_show_the_likeliest_countries_of_both_versions(player):
    first = player.countries(song())
    others = [(code, 1 / 20) for code, _ in reversed(first)]
    chart = sliders.country_bars(first, others, ["one", "two"])
    ones, twos = chart.axes[0].containers
    assert [bar.get_width() for bar in ones] == pytest.approx([100 * share for _, share in first[:12]])
    assert [bar.get_width() for bar in twos] == pytest.approx([5] * 12)
    names = [label.get_text() for label in chart.axes[0].get_yticklabels()]
    assert names == [country_name(code) for code, _ in first[:12]]
    assert (ones.get_label(), twos.get_label()) == ("one", "two")
    lines = repr(chart).splitlines()
    assert len(lines) == 13
    assert lines[1].startswith(country_name(first[0][0])[:25])
    assert f"{first[0][1]:.1%}" in lines[1]
    assert lines[1].endswith("5.0%")
    png, size = chart._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert size == {"width": 470, "height": 395}


def test_a_country_has_its_name_and_an_invented_one_its_code():
    assert [country_name("IS"), country_name("AB")] == ["IS Iceland", "AB"]


def test_a_slider_changes_the_song_and_the_bars(platform, player):
    other = player_module.load_model(platform, "player", SECOND)
    show = sliders.sliders(player, other)
    assert show.song == song()
    before, words = show.picture.value, repr(show)
    show.controls["duration_ms"].value = 240
    show.controls["energy"].value = 0.05
    show.controls["key"].value = 7
    changed = song(duration_ms=240_000, energy=0.05, key=7)
    assert show.song == changed
    assert show.countries == [player.countries(changed), other.countries(changed)]
    assert show.picture.value != before
    assert bytes(show.picture.value).startswith(b"\x89PNG")
    assert repr(show) != words
    assert show.picture.alt == repr(show)


def test_where_there_are_no_widgets_the_text_says_it(player):
    shown = sliders.sliders(player)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert shown["text/plain"] == repr(sliders.country_bars(player.countries(song()), names=[player.title]))
    assert f"player {FIRST}" in shown["text/plain"]
