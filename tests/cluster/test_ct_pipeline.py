"""The two tasks of the Tekton pipeline, run with the environment and the script of the rendered manifest.

What is Tekton's is done here (the values of parameters, workspaces and secrets); git is the sandbox's, the pipeline
server a stand-in, the pod a mount namespace in which the files of the service account are where Kubernetes puts them.
"""

import json
import os
import re
import shutil
import subprocess

import pytest
from loopback import RecordingGitServer, make_certificate
from platform_server import PlatformServer
from rendering import of_kind, render_ct_pipeline
from throwaway import environment_with

from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.pipelines.revisions import git_credentials
from jukebox_helpers.pipelines.statuses import post_status, read_status
from jukebox_helpers.settings import KIT, TRAINING_PIPELINE
from jukebox_helpers.steps.git import git

TOKEN = "the-token-of-the-service-account"
IMAGE, INDEX = "registry.example.com/python:3.12", "https://index.example.com/simple"

POD = """
mount -t tmpfs tmpfs /run
mkdir -p /run/secrets/kubernetes.io
cp -r "$0" /run/secrets/kubernetes.io/serviceaccount
exec "$@"
"""
"""Makes /var/run/secrets, as in a pod, for one command and its children only."""


@pytest.fixture(scope="module")
def steps(helm):
    """The steps as they are rendered for a disconnected cluster, by task."""
    pipeline = of_kind(render_ct_pipeline(helm, f"images.python={IMAGE}", f"package_index={INDEX}"), "Pipeline")
    tasks = [*pipeline["spec"]["tasks"], *pipeline["spec"]["finally"]]
    return {task["name"]: task["taskSpec"]["steps"][0] for task in tasks}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python with exactly the packages that the task installs, in the versions that it asks for."""
    folder = tmp_path_factory.mktemp("python")
    lock = (KIT / "requirements.txt").read_text()
    (folder / "constraints.txt").write_text(re.sub(r" *\\$|^ +--hash.*$", "", lock, flags=re.MULTILINE))
    script = (KIT / "charts" / "ct-pipeline" / "files" / "train.sh").read_text()
    [packages] = re.findall(r"pip install .*constraints.txt\" (.*)$", script, re.MULTILINE)
    environment_with(folder / "venv", "pip", *packages.split(), "--constraint", str(folder / "constraints.txt"))
    return folder / "venv" / "bin"


@pytest.fixture
def revision(sandbox):
    return git("rev-parse", "origin/main", folder=str(sandbox.clone()))


@pytest.fixture
def run(sandbox, steps, revision, tmp_path):
    """Run a step as Tekton does, except that its servers and its folders are those of this test."""

    def run(name, before=(), **changed):
        known = {"params.revision": revision, "params.version": revision[:10], "workspaces.source.path": tmp_path}
        known |= {"params.clone": "Succeeded", "params.train": "Succeeded"}
        environment = {"PATH": os.environ["PATH"]}
        for entry in steps[name]["env"]:
            if "value" in entry:
                value = re.sub(r"\$\(([\w.]+)\)", lambda match: str(known[match[1]]), entry["value"])
            else:
                reference = entry["valueFrom"]["secretKeyRef"]
                value = sandbox.secret(reference["name"])[reference["key"]]
            environment[entry["name"]] = value
        here = {"HOME": tmp_path, "TRUSTED_CA": tmp_path / "trusted-ca", "URL": sandbox.repository_url()}
        environment |= {key: str(value) for key, value in (here | changed).items() if key in environment}
        environment |= {"NO_PROXY": "localhost,127.0.0.1", "no_proxy": "localhost,127.0.0.1"}
        script = tmp_path / "script"
        script.write_text(steps[name]["script"])
        script.chmod(0o755)
        return subprocess.run([*before, script], env=environment, capture_output=True, text=True, cwd="/")

    return run


def test_clones_exactly_the_revision_and_keeps_the_password_to_itself(sandbox, run, revision, tmp_path):
    password = sandbox.secret("git-auth")["password"]
    done = run("clone")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(revision) and password not in done.stdout + done.stderr
    clone = tmp_path / "jukebox"
    assert git("rev-parse", "HEAD", folder=str(clone)) == revision and (clone / TRAINING_PIPELINE).is_file()
    for file in (clone / ".git" / "config", tmp_path / ".gitconfig"):
        assert password not in file.read_text()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"VERSION": "0123456789"}, "is not version 0123456789."),
        ({"REVISION": "0" * 39 + "1"}, "fatal"),
        ({"password": "wrong"}, "Authentication failed"),
    ],
)
def test_a_clone_that_is_not_the_revision_fails(run, changed, said):
    done = run("clone", **changed)
    assert done.returncode != 0 and said in done.stderr
    assert changed.get("password", "x" * 9) not in done.stdout + done.stderr


def test_the_clone_gives_the_password_to_its_server_only(sandbox, run, tmp_path):
    password, root = r"back\slash\n%s\"'", sandbox.state / "git"
    server, other = RecordingGitServer(root, password), RecordingGitServer(root, password)
    url = f"{server.url}/{sandbox.user}/jukebox.git"
    try:
        done = run("clone", URL=url, password=password)
        assert done.returncode == 0 and set(server.seen) == {server.expected}, done.stderr
        shutil.rmtree(tmp_path / "jukebox")
        server.redirect = other.url
        assert run("clone", URL=url, password=password).returncode != 0
        # Nor where a redirect comes before the question.
        server.expected = None
        assert run("clone", URL=url, password=password).returncode != 0
    finally:
        server.close()
        other.close()
    assert other.requests == other.seen == []


@pytest.fixture
def server(tmp_path):
    """The pipeline server, and the files of the pod: its service account, the authorities that it trusts."""
    server = PlatformServer(make_certificate(tmp_path), TOKEN)
    account, trusted = tmp_path / "account", tmp_path / "trusted-ca"
    account.mkdir()
    trusted.mkdir()
    # The server is not called *.svc here, so the authority is one of those that the cluster trusts.
    (trusted / "ca-bundle.crt").write_bytes((tmp_path / "ca.pem").read_bytes())
    (account / "token").write_text(TOKEN)
    (account / "namespace").write_text("user1-toolings")
    yield server
    server.close()


@pytest.fixture
def train(sandbox, run, server, python, tmp_path):
    pod = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--mount"]
    works = subprocess.run([*pod, "mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True, text=True)
    if works.returncode:
        pytest.skip(f"this machine makes no mount namespace: {works.stderr.strip()}")
    before = [*pod, "sh", "-ec", POD, tmp_path / "account", "env", "PIP_NO_INDEX=1", f"PATH={python}:{os.defpath}"]

    def train(**changed):
        assert run("clone", **changed).returncode == 0
        changed |= {"KF_PIPELINES_ENDPOINT": server.url, "cluster_domain": sandbox.cluster_domain}
        changed["JUKEBOX_GIT_SERVER"] = sandbox.cluster_domain
        return run("train", before, **changed, JUKEBOX_STATE=tmp_path / "state")

    return train


def test_trains_the_revision_with_its_default_parameters(sandbox, server, train, revision):
    done = train()
    assert done.returncode == 0, done.stdout + done.stderr
    [run], [version] = server.runs, server.versions
    defaults = json.loads((KIT / "3-prod_datascience" / "default_parameters.json").read_text())
    assert defaults.pop("rankings") == "sample"  # the fetch reads it; a server refuses unknown parameters
    given = {**defaults, "version": revision[:10], "cluster_domain": sandbox.cluster_domain}
    assert run.parameters == given
    assert run.display_name == f"training-pipeline-{revision[:10]}" and version.display_name == revision[:10]
    assert {container["image"] for container in read_pipeline(version.spec).executors.values()} == {IMAGE}
    assert INDEX in version.spec
    assert read_status(sandbox, revision).state == "success"
    password = sandbox.secret("git-auth")["password"]
    assert password not in done.stdout + done.stderr + version.spec + str(run.parameters)


def test_a_training_that_fails_fails_the_task(sandbox, server, train, revision):
    server.runner.states = ["FAILED"]
    done = train()
    assert len(server.runs) == 1
    assert done.returncode == 1 and "the step's own words" in done.stderr and "Traceback" not in done.stderr
    status = read_status(sandbox, revision)
    assert status.state == "failure" and "the step's own words. Next: fix it." in status.description


def test_a_training_that_cannot_start_is_said_on_the_commit(sandbox, server, train, revision):
    server.proxy.fail("POST .*", 403, times=None)
    assert train().returncode == 1 and server.runs == []
    status = read_status(sandbox, revision)
    assert status.state == "error" and "ds-pipeline-user-access-dspa" in status.description


def test_a_revision_that_does_not_compile_is_said_on_the_commit(sandbox, server, train, tmp_path):
    clone = tmp_path / "mine"
    with git_credentials(sandbox):
        git("clone", "--quiet", sandbox.repository_url(), str(clone))
        (clone / TRAINING_PIPELINE).write_text("from kfp import dls\n")
        git("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qam", "A typing error", folder=str(clone))
        git("push", "--quiet", "origin", "HEAD:refs/heads/typing-error", folder=str(clone))
    revision = git("rev-parse", "HEAD", folder=str(clone))
    done = train(REVISION=revision, VERSION=revision[:10])
    assert done.returncode == 1 and server.pipelines == server.runs == []
    status = read_status(sandbox, revision)
    assert status.state == "error" and "cannot import name 'dls'" in status.description


def test_the_report_says_how_it_ended(run):
    failed = run("report", CLONE="Succeeded", TRAIN="Failed")
    assert failed.returncode == 0 and "Training: Failed." in failed.stdout and "Next: read the log" in failed.stdout
    assert "Next" not in run("report", CLONE="Succeeded", TRAIN="Succeeded").stdout


def test_the_report_sets_the_commit_status_where_nobody_has(sandbox, run, revision):
    post_status(sandbox, revision, "pending", "The training pipeline is compiled.")
    run("report", CLONE="Succeeded", TRAIN="Succeeded")
    assert read_status(sandbox, revision).state == "pending"
    run("report", CLONE="Succeeded", TRAIN="Failed")
    status = read_status(sandbox, revision)
    assert status.state == "error" and "The task train of ct-pipeline" in status.description
    post_status(sandbox, revision, "failure", "Step 'train' failed.")
    done = run("report", CLONE="Succeeded", TRAIN="Failed")
    assert read_status(sandbox, revision).state == "failure" and "Note" not in done.stdout
    assert "Note: the commit status is not set" in run("report", CLONE="Failed", TRAIN="None", password="wrong").stdout
