"""The kit installs in a workbench of OpenShift AI beside what is there, and changes none of it."""

import re
import subprocess

from throwaway import find_uv, need_the_package_index

from jukebox_helpers.settings import KIT

WORKBENCH = KIT / "tests" / "data" / "workbench-2026-08.constraints.txt"


def versions(text):
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[a-z0-9,]+\])?==([^\s;]+)", text, re.MULTILINE))


def resolve(tmp_path, project):
    """What pip would install in the workbench, Python 3.12, with its packages as they are."""
    need_the_package_index()
    return subprocess.run(
        [find_uv(), "pip", "compile", "--quiet", project, "--constraints", WORKBENCH, "--python-version", "3.12",
         "--no-python-downloads", "--python-platform", "x86_64-unknown-linux-gnu", "--no-header", "--no-annotate"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip


def test_the_kit_resolves_without_changing_a_package_of_the_workbench(tmp_path):
    result = resolve(tmp_path, KIT / "pyproject.toml")
    assert result.returncode == 0, result.stderr
    installed, there = versions(result.stdout), versions(WORKBENCH.read_text())
    both = set(installed) & set(there)
    assert len(both) > 100 and {"kfp", "pandas", "scikit-learn", "boto3", "jupyterlab"} <= both
    assert {name: installed[name] for name in both} == {name: there[name] for name in both}
    assert {"dvc", "dvc-s3", "model-registry", "duckdb", "pandera"} <= set(installed) - set(there)


def test_a_kit_that_would_change_one_is_noticed(tmp_path):
    project = tmp_path / "pyproject.toml"
    needs = 'requires-python = ">=3.12"\ndependencies = ["kfp==2.16.0"]'
    project.write_text(f'[project]\nname = "x"\nversion = "1"\n{needs}')
    result = resolve(tmp_path, project)
    assert result.returncode == 1 and "kfp==2.17.0" in result.stderr
