"""Two hundred data versions, one after the other: each is there, byte for byte, and the same songs again make none."""

import hashlib
import shutil

from data_repository import Repository, add_buckets, random_songs
from killing import Killer, Step

PROMISES = (1, 2)


def test_versions(sandbox, tally, tmp_path):
    add_buckets(sandbox)
    killer = Killer(sandbox, tmp_path / "runs")
    repository = Repository(sandbox, f"many-{tmp_path.name}")
    address = killer.address + repository.path
    both = killer.container("aws-connection-data", "git-auth")

    def load_and_version(songs):
        loaded = {"artifact": {"path": str(songs), "metadata": {}}}
        md5 = killer.whole(Step("data_steps:load", {"transformed": loaded}, both))["given"]
        return killer.whole(Step("data_steps:version_and_commit", {"repo_url": address, "md5": md5}, both))["given"]

    made, last = {}, tmp_path / "none"
    try:
        for number in range(tally.number(200, 5)):
            songs, md5 = random_songs(tmp_path, number)
            made[load_and_version(songs)] = md5
            if number % 20 == 1:  # the same again, and what was a version before
                assert load_and_version(songs) == list(made)[-1]
                made[load_and_version(last)] = hashlib.md5(last.read_bytes()).hexdigest()
            last = songs
            tally.count()
        assert repository.commits == [*reversed(made), repository.first]
        for revision, md5 in made.items():
            assert repository.check(revision) == md5
        target = tmp_path / "fetched.parquet"
        for revision, md5 in list(made.items())[:: max(1, len(made) // 10)]:
            given = {"repo_url": address, "revision": revision, "songs_path": str(target)}
            killer.whole(Step("jukebox_helpers.steps.data_versions:fetch_data_version", given, both))
            assert hashlib.md5(target.read_bytes()).hexdigest() == md5
            target.unlink()
        repository.check_clean()
    finally:
        killer.close()
        shutil.rmtree(repository.bare)
