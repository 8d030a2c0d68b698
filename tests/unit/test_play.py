"""Playing a model: what is drawn is what the model says."""

import math

import numpy
import pytest

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.show import player as player_module
from jukebox_helpers.show import sliders
from jukebox_helpers.show.sliders import CONTROLS, country_name
from jukebox_helpers.steps import sample_data, sample_rankings
from jukebox_helpers.steps.constants import FEATURES
from jukebox_helpers.steps.export import export_onnx
from jukebox_helpers.steps.model import train
from jukebox_helpers.steps.preparation import prepare
from jukebox_helpers.steps.scoring import onnx_probabilities

FIRST, SECOND = "aaaaaaaaaa", "bbbbbbbbbb"


@pytest.fixture(scope="module")
def players(tmp_path_factory):
    """Two versions of a small model, as they are loaded."""
    folder = tmp_path_factory.mktemp("play")
    songs, rankings, table, counts, model = (str(folder / name) for name in "srtcm")
    sample_data.make_songs(songs, songs=300)
    sample_rankings.make_rankings(rankings, songs, rows=10_000, countries=20)
    prepare(songs, rankings, table, counts)
    found = []
    for version, epochs in {FIRST: 1, SECOND: 4}.items():
        train(table, counts, {"epochs": epochs}, model)
        export_onnx(model, str(folder / version), {})
        found.append(player_module.Player({"name": "player", "version": version}, folder / version))
    return found


@pytest.fixture
def player(players):
    return players[0]


def song(**changes):
    return sliders.typical_song() | changes


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
    assert list(CONTROLS) == FEATURES
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


def test_a_slider_changes_the_song_and_the_bars(players):
    player, other = players
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
