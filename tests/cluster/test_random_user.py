"""The steps as OpenShift runs them: a UID that nobody knows, HOME=/, a working directory that cannot be written to.

https://docs.redhat.com/en/documentation/openshift_container_platform/4.18/html/images/creating-images
"""

import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import kfp_local
import pytest
from rich.console import Console

from jukebox_helpers.pipelines.compile import compile_file
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.pipelines.revisions import default_parameters
from jukebox_helpers.settings import DATA_PIPELINE_YAML, KIT, TRAINING_PIPELINE, TRAINING_PIPELINE_YAML
from jukebox_helpers.steps import sample_data
from jukebox_helpers.workshop import edits
from jukebox_helpers.workshop.demo import Demo
from jukebox_helpers.workshop.songs import songs_argument

UID = 1000790000
"""Of the range that OpenShift gives to a project; it has no entry in /etc/passwd."""

SOMEBODY = (
    "setpriv", f"--reuid={UID}", "--regid=0", "--clear-groups", "--no-new-privs",
    # An image lets everybody read Python and its packages; on this machine they may lie in somebody's home.
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", "--bounding-set=-all,+dac_read_search",
)  # fmt: skip

LOOK = """
import os, pwd
try:
    pwd.getpwuid(os.getuid())
except KeyError as error:
    print(error)
for folder in (".", os.environ["HOME"], os.path.dirname(os.__file__)):
    print(os.access(folder, os.W_OK))
print(sorted(set(os.environ) - {"LC_CTYPE"}))
"""


@pytest.fixture
def start(tmp_path):
    """Start a command as that user; what it leaves in the temporary directory goes afterwards."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def start(*command, **environment):
        return subprocess.Popen(
            [*SOMEBODY, *command], cwd=locked, env={"PATH": path, "HOME": "/", **environment}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    if not shutil.which("setpriv"):
        pytest.skip("only Linux has setpriv")
    with start("true") as works:
        said = works.stdout.read()
    if works.returncode:
        pytest.skip(f"only root can become another user: {said.strip()}")
    yield start
    for left in Path(tempfile.gettempdir()).iterdir():
        if left.lstat().st_uid == UID:
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def test_this_user_is_nobody_and_can_write_nowhere(start):
    with start("python3", "-c", LOOK) as process:
        said = process.stdout.read().splitlines()
    assert said == [f"'getpwuid(): uid not found: {UID}'", "False", "False", "False", "['HOME', 'PATH']"]


def for_this_machine(pipeline, settings):
    """The pipeline's spec, each container with the environment that the platform spec gives it, nothing installed."""
    spec = copy.deepcopy(pipeline.spec)
    for label, executor in spec["deploymentSpec"]["executors"].items():
        container, given = executor["container"], pipeline.platform_of(label)
        known = {
            pair["envVar"]: settings.secret(entry["secretName"])[pair["secretKey"]]
            for entry in given.get("secretAsEnv", [])
            for pair in entry["keyToEnv"]
        }
        known |= {entry["name"]: settings.namespace for entry in given.get("fieldPathAsEnv", [])}
        container["env"] = [{"name": name, "value": value} for name, value in known.items()]
        if "pip install" in container["command"][2]:
            container["command"] = container["command"][3:]
    return spec


def hide_jukebox(folder):
    """A folder to import from in which Jukebox is absent, as in a container."""
    hidden = folder / "python"
    hidden.mkdir()
    for package in ("jukebox_helpers", "jukebox_sandbox"):
        (hidden / f"{package}.py").write_text(f"raise ImportError('there is no {package} in a container')\n")
    return hidden


@pytest.fixture
def run(start, fresh_sandbox, tmp_path):
    """Run a compiled pipeline as that user; a step gets the values that the YAML names, and nothing else."""

    def run(pipeline, arguments):
        folder = tmp_path / pipeline.name
        (folder / "artifacts").mkdir(parents=True)
        (folder / "artifacts").chmod(0o770)  # the group 0 may write, as to a volume in OpenShift
        order = {
            "spec": for_this_machine(pipeline, fresh_sandbox),
            "arguments": arguments,
            "folder": str(folder / "artifacts"),
        }
        # The container has no Jukebox.
        server = {"JUKEBOX_GIT_SERVER": fresh_sandbox.cluster_domain}
        with start("python3", "-P", kfp_local.__file__, PYTHONPATH=str(hide_jukebox(folder)), **server) as process:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            log = process.stdout.read()
        assert process.returncode == 0, log
        owners = {file.stat().st_uid for file in (folder / "artifacts").rglob("*")}
        assert owners == {UID}
        return log

    return run


def test_the_steps_run_as_somebody_without_a_home(fresh_sandbox, run, tmp_path):
    show = Demo(fresh_sandbox, Console(quiet=True))
    show.apply_buckets()
    songs = tmp_path / "songs.parquet"
    sample_data.make_songs(str(songs), songs=600)
    before = show.head()
    arguments = {"dataset_url": songs_argument(fresh_sandbox, songs), "repo_url": fresh_sandbox.repository_url()}
    run(read_pipeline((KIT / DATA_PIPELINE_YAML).read_text()), arguments)
    head = show.head()
    assert head != before

    clone = fresh_sandbox.clone()
    edits.train_on_versioned_data(clone / TRAINING_PIPELINE)
    compile_file(clone / TRAINING_PIPELINE)
    training = read_pipeline((clone / TRAINING_PIPELINE_YAML).read_text()).until("train-model")
    given = {**default_parameters(clone), "version": head[:10], "cluster_domain": fresh_sandbox.cluster_domain}
    log = run(training, given)
    assert f"revision {head[:10]}" in log
