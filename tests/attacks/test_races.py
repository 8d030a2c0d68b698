"""Eight data pipelines at once, and pushes of an attendee between them: nothing is lost, each ends in the history."""

import hashlib
import shutil
import threading

import pytest
from data_repository import Repository, add_buckets, random_songs
from killing import Killer, Step

from jukebox_helpers.steps import git

PROMISES = (1, 2, 9)
AT_ONCE = 8


@pytest.fixture
def killer(sandbox, tmp_path):
    add_buckets(sandbox)
    made = Killer(sandbox, tmp_path / "runs")
    yield made
    made.close()


def attendee(repository, folder, pushed):
    """Somebody who commits and pushes eight times, and pulls and pushes again where the pipelines were quicker."""
    clone = str(folder / "attendee")
    git.git("clone", "-q", str(repository.bare), clone)
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.com")
    for number in range(AT_ONCE):
        git.git(*identity, "commit", "-q", "--allow-empty", "-m", f"By hand, {number}", folder=clone)
        while True:
            try:
                git.git("push", "-q", "origin", "main", folder=clone)
                break
            except RuntimeError:
                git.git(*identity, "pull", "-q", "--rebase", folder=clone)
        pushed.append(f"By hand, {number}")


def test_pipelines(sandbox, killer, tally, tmp_path):
    both = killer.container("aws-connection-data", "git-auth")
    for round_ in range(tally.number(10)):
        repository = Repository(sandbox, f"race-{tmp_path.name}-{round_}")
        address = killer.address + repository.path
        songs = [random_songs(tmp_path, round_ * AT_ONCE + number) for number in range(AT_ONCE)]
        if round_ % 2:  # two bring the same songs
            songs[1] = songs[0]
        steps = [
            {"step": "racing_pipeline:load_and_version", "arguments": {"songs": str(path), "repo_url": address},
             "environment": both}
            for path, _ in songs
        ]  # fmt: skip
        pushed = []
        hand = threading.Thread(target=attendee, args=(repository, tmp_path / str(round_), pushed))
        hand.start()
        arguments = {"folder": str(tmp_path / f"racers-{round_}"), "steps": steps}
        ended = killer.whole(Step("racing:race", arguments, both))["given"]
        hand.join()
        for one, (path, md5) in zip(ended, songs, strict=True):
            assert one["code"] == 0, one["said"]
            assert hashlib.md5(path.read_bytes()).hexdigest() == md5
            assert repository.check(one["given"]) == md5
            tally.count()
        versions = [repository.check(commit) for commit in repository.commits]
        assert {md5 for _, md5 in songs} == set(versions) - {""}
        messages = repository.git("log", "--format=%s", "main").splitlines()
        assert [one for one in messages if one.startswith("By hand")] == pushed[::-1]
        repository.check_clean()
        shutil.rmtree(repository.bare)
