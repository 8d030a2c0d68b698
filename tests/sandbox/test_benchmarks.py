"""The benchmarks run, at a hundredth of the size; what they measure is asserted nowhere but in `bench --compare`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from measured_calls import fail, spend
from rich.console import Console
from throwaway import need_the_package_index

from benchmarks import install, results
from benchmarks.measure import measure
from benchmarks.results import read_result
from benchmarks.run import BENCHMARKS, bench
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import KIT

TINY = 0.01


@pytest.fixture(scope="module")
def step_results(tmp_path_factory):
    """A folder with the result of the quickest benchmark."""
    folder = tmp_path_factory.mktemp("results")
    bench(["step"], TINY, target=folder, console=Console(quiet=True))
    return folder


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_runs_and_writes_its_result(name, tmp_path, monkeypatch):
    monkeypatch.delenv("JUKEBOX_STATE", raising=False)
    (result,), worse = bench([name], TINY, target=tmp_path, console=Console(quiet=True))
    assert worse == []
    assert read_result(tmp_path / f"{name}.json") == result
    assert any(figure.unit == "x" and figure.value > 0 for figure in result.figures)
    text = (tmp_path / f"{name}.md").read_text()
    assert all(figure.name in text for figure in result.figures)
    assert result.machine["processor"] in text and f"python {result.machine['python']}" in text
    picture = (tmp_path / f"{name}.svg").read_text()
    assert "<svg" in picture and len(picture) < 100_000


def test_what_the_steps_install_is_measured(tmp_path, monkeypatch):
    """Two steps of it, from the package index; on the steps image nothing is downloaded any more."""
    need_the_package_index()
    monkeypatch.setattr(install, "find_python", lambda: sys.executable)
    (result,), _ = bench(["install"], TINY, target=tmp_path, console=Console(quiet=True))
    assert [row["step"] for row in result.rows] == ["check-access", "extract"]
    assert all(5 < row["MB"] < 50 and row["CPU s"] > row["image: CPU s"] > 0 for row in result.rows)
    assert read_result(tmp_path / "install.json") == result and "<svg" in (tmp_path / "install.svg").read_text()


def test_no_result_names_the_host(step_results):
    import platform

    assert platform.node() not in (step_results / "step.json").read_text()


def test_compare_finds_a_made_up_regression(step_results, tmp_path):
    changed = json.loads((step_results / "step.json").read_text())
    for figure in changed["figures"]:
        # As if it had been a thousand times better.
        figure["value"] *= 1000 if figure["better"] == "higher" else 0.001
    (tmp_path / "step.json").write_text(json.dumps(changed))
    options = ["step", "--scale", TINY, "--compare", "--target", tmp_path / "new"]
    command = [sys.executable, "-m", "benchmarks", *map(str, options), "--baseline", str(tmp_path), "--json"]
    found = subprocess.run(command, cwd=KIT, capture_output=True, text=True)
    assert found.returncode == 1
    assert ["times worse" in sentence for sentence in json.loads(found.stdout)["regressions"]] == [True, True]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"names": ["no-such"]}, "There is no benchmark 'no-such'"),
        ({"scale": 0}, "The scale is 0"),
        ({"names": ["step"], "scale": TINY, "compare": True}, "is of scale 1"),
        ({"names": ["loop"], "compare": True}, "no earlier result"),
    ],
)
def test_a_run_that_makes_no_sense_says_what_to_do(options, words, step_results, tmp_path):
    full = read_result(step_results / "step.json")
    full.scale = 1.0
    results.save(full, tmp_path, BENCHMARKS["step"].draw)
    with pytest.raises(JukeboxError, match=words) as error:
        bench(**options, baseline=tmp_path, target=tmp_path / "new", console=Console(quiet=True))
    assert error.value.next_action
    assert not (tmp_path / "new").exists()


def test_a_call_is_measured_in_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    held = b"x" * 400_000_000
    small, large = (measure(spend, tmp_path, megabytes=megabytes) for megabytes in (2, 202))
    assert len(held) == 400_000_000 and large.peak_mb < 400
    assert 150 < large.peak_mb - small.peak_mb < 250
    assert large.written_mb == 2 and large.result == 202_000_000
    assert large.seconds > 0
    with pytest.raises(JukeboxError, match="what went wrong"):
        measure(fail, tmp_path)
