"""Ten sandboxes side by side: none has an address or a key of another, and nothing of them is left when they stop."""

import http.client
import itertools
import subprocess
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from botocore.exceptions import ClientError
from stand_in import stand_in_configuration
from waiting import DEADLINE, eventually

from jukebox_helpers import sandbox as program
from jukebox_helpers.pipelines.revisions import git_credentials
from jukebox_helpers.steps import s3
from jukebox_helpers.steps.git import git
from jukebox_sandbox.events import wait_for

PROMISES = (7, 9)
AT_ONCE = 3
"""Starts at once, as many people press a button at about the same time."""


def up(folder):
    state = folder / "state"
    return program.up(state, lifeline=True, configuration=stand_in_configuration(folder))


def status_of(settings, key):
    connection = http.client.HTTPConnection(settings.cluster_domain.removeprefix("http://"), timeout=DEADLINE)
    connection.request("GET", "/apis/v2beta1/pipelines", headers={"Authorization": f"Bearer {key}"})
    return connection.getresponse().status


def push(settings):
    """A commit on the attendee's clone, pushed; its revision."""
    clone = str(settings.clone())
    with git_credentials(settings):
        git("commit", "-q", "--allow-empty", "-m", settings.state.parent.name, folder=clone)
        git("push", "-q", "origin", "main", folder=clone)
    return git("rev-parse", "HEAD", folder=clone)


def processes(states):
    """What runs for these sandboxes."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(state) in part for part in process.info["cmdline"] or [] for state in states):
            found.append(process.info["cmdline"])
    return found


def test_sandboxes(tally, tmp_path):
    folders = [tmp_path / f"one-{number}" for number in range(tally.number(10, 2))]
    states = [folder / "state" for folder in folders]
    try:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            all_of_them = list(threads.map(up, folders))
        addresses = [address for one in all_of_them for address in (one.cluster_domain, one.s3_endpoint)]
        assert len(set(addresses)) == len(addresses)
        revisions = [push(one) for one in all_of_them]
        for one, revision in zip(all_of_them, revisions, strict=True):
            assert wait_for(one.state, revision, timeout=DEADLINE)["state"] == "done"
            assert [event["revision"] for event in program.status(one.state)["events"]].count(revision) == 1
            tally.count()
        for one, other in itertools.permutations(all_of_them, 2):
            token = other.secret("pipeline-server")["token"]
            assert (status_of(one, one.token), status_of(one, token)) == (200, 401)
            foreign = other.secret("s3") | {"AWS_S3_ENDPOINT": one.s3_endpoint}
            with pytest.raises(ClientError):
                s3.s3_client(foreign).list_buckets()
            tally.count()
        for one in all_of_them[1:]:
            password = all_of_them[0].secret("git-auth")["password"]
            helper = f"!f() {{ echo username=user1; echo password={password}; }}; f"
            asked = ["git", "-c", "credential.helper=", "-c", f"credential.helper={helper}", "ls-remote"]
            refused = subprocess.run([*asked, one.repository_url()], capture_output=True, text=True)
            assert refused.returncode and "Authentication failed" in refused.stderr
            tally.count()
        program.down(states[0])
        assert [program.status(state)["running"] for state in states] == [False] + [True] * (len(states) - 1)
    finally:
        for state in states:
            program.down(state, delete=True)
    eventually(lambda: processes(states) == [])
    assert not any(state.exists() for state in states)
