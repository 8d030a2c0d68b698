"""Disks that are full at some byte, of a step or of the servers: it says so, nothing is half done, and it goes on."""

import contextlib
import resource
import subprocess
import sys

import psutil
import pytest
from data_repository import Repository, add_buckets, random_songs
from killing import Killer, Step
from waiting import eventually

from jukebox_helpers import sandbox as platform
from jukebox_helpers.steps import s3, sample_data
from jukebox_helpers.steps.s3 import explained

PROMISES = (1, 6)
ROOM = sorted({0, 1, *(2**power for power in range(3, 18)), *(3 * 2**power for power in range(3, 15))})
"""Bytes that fit. git writes files of some bytes, DVC's database and the tables are the largest."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a process can be limited from outside on Linux only")


@pytest.fixture
def place(fresh_sandbox, tmp_path):
    add_buckets(fresh_sandbox)
    made = Place(fresh_sandbox, tmp_path)
    yield made
    made.killer.close()


class Place:
    """A sandbox of its own, with a repository and the steps of the data pipeline."""

    def __init__(self, settings, folder):
        self.settings, self.folder, self.number = settings, folder, 0
        self.killer = Killer(settings, folder / "runs")
        self.repository = Repository(settings, "songs")
        self.address = self.killer.address + self.repository.path
        self.both = self.killer.container("aws-connection-data", "git-auth")

    def step(self, name, room=None, **arguments):
        return Step(name if "." in name.split(":")[0] else f"data_steps:{name}", arguments, self.both, room)

    def next(self):
        """Songs that were nowhere before: the steps that load and version them."""
        self.number += 1
        songs, md5 = random_songs(self.folder, self.number)
        loaded = {"artifact": {"path": str(songs), "metadata": {}}}
        return (
            lambda room=None: self.step("load", room, transformed=loaded),
            lambda room=None: self.step("version_and_commit", room, repo_url=self.address, md5=md5),
            md5,
        )

    def limit(self, room):
        """Let the sandbox's processes write files of so many bytes, as on a full disk; None for all."""
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        process = psutil.Process(platform.status(self.settings.state)["pid"])
        for one in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.rlimit(psutil.RLIMIT_FSIZE, (most if room is None else room, most))


def test_of_a_step(place, tally):
    load, version, _ = place.next()
    place.killer.whole(load())
    revision = place.killer.whole(version())["given"]
    source, target = place.folder / "source.parquet", place.folder / "written.parquet"
    sample_data.make_songs(str(source), songs=300)
    artifacts = [{"artifact": {"path": str(path), "metadata": {}}} for path in (source, target)]
    transform = {"songs": artifacts[0], "transformed": artifacts[1]}
    fetch = {"repo_url": place.address, "revision": revision, "songs_path": str(target)}
    cases = [(name, room) for name in ("version", "transform", "fetch") for room in ROOM]
    refused = 0
    for name, room in tally.turn(cases):
        before, current = place.repository.commits, place.repository.check()
        load, version, md5 = place.next()
        if name == "version":
            place.killer.whole(load())
        step = {
            "version": version,
            "transform": lambda room=None: place.step("transform", room, **transform),
            "fetch": lambda room=None: place.step(
                "jukebox_helpers.steps.data_versions:fetch_data_version", room, **fetch
            ),
        }[name]
        code, _, _ = place.killer.perform(step(room))
        refused += code == 1
        tally.count(f"{name} with room for {room:,} bytes: {'went well' if code == 0 else 'refused'}")
        assert code in (0, 1)
        assert place.repository.check() in (current, md5)
        assert code == 0 or place.repository.commits == before
        place.killer.whole(step())
        if name == "version":
            assert place.repository.check() == md5 and place.repository.commits[1:] == before
    assert refused or tally.day
    place.repository.check_clean()


def test_of_the_servers(place, tally):
    """S3, git and the pipeline server are children of one process, which is limited with them."""
    load, version, md5 = place.next()
    place.killer.whole(load())
    place.killer.whole(version())
    client = s3.s3_client(place.settings.secret("aws-connection-data"))
    for room in tally.turn(ROOM):
        before, current = place.repository.commits, place.repository.check()
        load, version, md5 = place.next()
        place.limit(room)
        try:
            code, said, _ = place.killer.perform(load())
            if code == 0:
                code, said, _ = place.killer.perform(version())
            tally.count(f"servers with room for {room:,} bytes: {'went well' if code == 0 else 'refused'}")
            assert code == 0 or "Next: " in said["said"], said["said"]
        finally:
            place.limit(None)
        assert place.repository.check() in (current, md5)
        assert code == 0 or place.repository.commits == before

        def well():
            with contextlib.suppress(OSError), explained(client, "s3://data"):
                client.put_object(Bucket="data", Key="probe", Body=b"x" * 4_096)
                return True
            return False

        eventually(well)
        place.killer.whole(load())
        place.killer.whole(version())
        assert place.repository.check() == md5 and place.repository.commits[1:] == before
    assert subprocess.run(["git", "-C", place.repository.bare, "fsck", "--no-dangling"], check=True)
    place.repository.check_clean()
