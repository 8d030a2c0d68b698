"""Repositories made to do harm: links, hooks, filters, submodules, settings, names; steps read and write them."""

import shutil
import subprocess

import pytest
from data_repository import Repository, add_buckets, random_songs
from evil_repositories import EVIL, Place
from killing import Killer, Step
from loopback import RecordingGitServer

PROMISES = (1, 6, 7)
CONTENT = "what lies outside is nobody's business"


@pytest.fixture(scope="module")
def room(sandbox, tmp_path_factory):
    add_buckets(sandbox)
    made = Room(sandbox, tmp_path_factory.mktemp("evil"))
    yield made
    made.killer.close()
    made.other.close()


class Room:
    """A good repository, copied for each change; a folder outside; a server that writes down who asks."""

    def __init__(self, sandbox, folder):
        self.sandbox, self.folder = sandbox, folder
        self.killer = Killer(sandbox, folder / "runs")
        self.outside = folder / "outside"
        self.other = RecordingGitServer(folder, password="asks")
        self.good = Repository(sandbox, "good")
        self.songs, self.md5 = random_songs(folder, 0)
        self.run("data_steps:load", transformed={"artifact": {"path": str(self.songs), "metadata": {}}})
        self.run("data_steps:version_and_commit", repo_url=self.killer.address + self.good.path, md5=self.md5)
        self.hidden = [sandbox.secret("git-auth")["password"], sandbox.secret("s3")["AWS_SECRET_ACCESS_KEY"], CONTENT]

    def run(self, step, **arguments):
        """Exit code and what was said."""
        both = self.killer.container("aws-connection-data", "git-auth")
        code, result, _ = self.killer.perform(Step(step, arguments, both))
        return code, result.get("said", "")

    def evil(self, name, number):
        """The good repository after a change, on the server."""
        self.other.seen.clear()
        shutil.rmtree(self.outside, ignore_errors=True)
        self.outside.mkdir()
        (self.outside / "canary").write_text(CONTENT)
        bare = self.good.bare.with_name(f"evil-{number}.git")
        shutil.copytree(self.good.bare, bare)
        clone = self.folder / f"clone-{number}"
        subprocess.run(["git", "clone", "-q", bare, clone], check=True)
        EVIL[name](Place(clone, self.outside, self.other.url))
        (clone.with_name("moved-.dvc")).exists() and shutil.rmtree(clone.with_name("moved-.dvc"))
        for command in (
            ["add", "--all", "--force"] if not staged(clone) else ["status", "--short"],
            ["-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-q", "--allow-empty", "-m", name],
            ["push", "-q", "origin", "HEAD:main"],
        ):
            subprocess.run(["git", *command], cwd=clone, check=True, capture_output=True)
        shutil.rmtree(clone)
        return Repository(self.sandbox, f"evil-{number}")

    def check(self, code, said):
        """That it went well or was refused in words, and touched and told nothing."""
        assert code in (0, 1), said
        assert code == 0 or "Next: " in said.strip().splitlines()[-1], said[-1_500:]
        for value in self.hidden:
            assert value not in said
        assert [str(file.relative_to(self.outside)) for file in self.outside.rglob("*")] == ["canary"]
        assert (self.outside / "canary").read_bytes() == CONTENT.encode()
        assert self.other.seen == []


def staged(clone):
    """Whether a change was made in the index alone."""
    command = ["git", "diff", "--cached", "--name-only"]
    return bool(subprocess.run(command, cwd=clone, capture_output=True, check=True).stdout)


def test_repositories(room, tally, tmp_path):
    names, broken = list(EVIL), []
    for name in tally.turn(names):
        number = names.index(name)
        repository = room.evil(name, number)
        revision, target = repository.commits[0], tmp_path / f"{number}.parquet"
        address = room.killer.address + repository.path
        songs, md5 = random_songs(tmp_path, number)
        loaded = {"artifact": {"path": str(songs), "metadata": {}}}
        fetch = {"repo_url": address, "revision": revision, "songs_path": str(target)}
        for step, given in (
            ("jukebox_helpers.steps.data_versions:fetch_data_version", fetch),
            ("data_steps:load", {"transformed": loaded}),
            ("data_steps:version_and_commit", {"repo_url": address, "md5": md5}),
        ):
            code, said = room.run(step, **given)
            short = step.split(":")[1]
            tally.count(f"{name}: {short} {'went well' if code == 0 else 'refused it'}")
            try:
                room.check(code, said)
                if code == 0 and short == "fetch_data_version":
                    assert target.read_bytes() == room.songs.read_bytes()
                if short == "version_and_commit":
                    assert repository.commits[0] == revision if code else repository.check() == md5
            except (AssertionError, OSError, subprocess.CalledProcessError) as error:
                broken.append(f"{name}: {short}: {str(error)[:1_500]}")
                print(broken[-1], flush=True)
    assert not broken, "\n\n".join(broken)
