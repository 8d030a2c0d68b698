"""SIGKILL at each write, call of git and request of the steps of the data pipeline, which are then run again."""

import pytest
from data_repository import Repository, add_buckets, objects, random_songs
from killing import Killer, Step

from jukebox_helpers.steps import sample_data

PROMISES = (1, 2, 6)
STEPS = ("load", "version_and_commit")


@pytest.fixture(scope="module")
def killer(sandbox, tmp_path_factory):
    add_buckets(sandbox)
    made = Killer(sandbox, tmp_path_factory.mktemp("steps"))
    yield made
    made.close()


class Pipeline:
    """The steps of the data pipeline, on a repository of their own."""

    def __init__(self, killer, folder):
        self.killer, self.folder, self.number = killer, folder, 0
        self.repository = Repository(killer.settings, f"songs-{folder.name}")
        self.url = killer.address + self.repository.path
        self.next()

    def next(self):
        """Songs that were nowhere before."""
        self.number += 1
        self.songs, self.md5 = random_songs(self.folder, self.number)

    def step(self, name, **arguments):
        secrets = {"load": ["aws-connection-data"], "extract": ["aws-connection-data"]}
        both = ["aws-connection-data", "git-auth"]
        return Step(f"data_steps:{name}", arguments, self.killer.container(*secrets.get(name, both)))

    @property
    def load(self):
        return self.step("load", transformed={"artifact": {"path": str(self.songs), "metadata": {}}})

    @property
    def version(self):
        return self.step("version_and_commit", repo_url=self.url, md5=self.md5)

    @property
    def access(self):
        return self.step("check_access", repo_url=self.url)


@pytest.fixture
def pipeline(killer, tmp_path):
    return Pipeline(killer, tmp_path)


def test_versioning(killer, pipeline, tally):
    killer.whole(pipeline.load)
    points = killer.points(pipeline.version)
    assert pipeline.repository.check() == pipeline.md5
    for point in tally.turn(points):
        before = pipeline.repository.commits
        pipeline.next()
        killer.whole(pipeline.load)
        killer.kill(pipeline.version, point)
        tally.count(f"version-and-commit, {point}")
        # Main is as it was, or has the whole version; in both, the data is there.
        assert pipeline.repository.check() in (pipeline.repository.version(before[0]), pipeline.md5)
        assert pipeline.repository.commits in (before, [pipeline.repository.commits[0], *before])
        killer.whole(pipeline.version)
        assert pipeline.repository.check() == pipeline.md5
        assert pipeline.repository.commits[1:] == before  # one version, one commit
    assert [pipeline.repository.check(commit) for commit in pipeline.repository.commits][-1] == ""
    pipeline.repository.check_clean()


def test_loading(killer, pipeline, tally):
    for point in tally.turn(killer.points(pipeline.load)):
        pipeline.next()
        killer.whole(pipeline.load)
        killer.whole(pipeline.version)
        commits, version = pipeline.repository.commits, pipeline.md5
        pipeline.next()
        killer.kill(pipeline.load, point)
        tally.count(f"load, {point}")
        assert pipeline.repository.check() == version and pipeline.repository.commits == commits
        assert killer.whole(pipeline.load)["given"] == pipeline.md5
        killer.whole(pipeline.version)
        assert pipeline.repository.check() == pipeline.md5
    pipeline.repository.check_clean()


def test_checking_the_access(killer, pipeline, tally):
    buckets = ("data", "data-cache")
    points = killer.points(pipeline.access)
    before = objects(pipeline.repository.s3, *buckets)
    for point in tally.turn(points):
        killer.kill(pipeline.access, point)
        tally.count(f"check-access, {point}")
        assert pipeline.repository.commits == [pipeline.repository.first]
        killer.whole(pipeline.access)
        assert objects(pipeline.repository.s3, *buckets) == before
    pipeline.repository.check_clean()


def test_what_writes_no_more_than_its_output(killer, pipeline, tally):
    """Extracting, validating and transforming leave S3 and git alone, and do the same again after a kill."""
    source = pipeline.folder / "source.parquet"
    sample_data.make_songs(str(source), songs=300)
    pipeline.repository.s3.upload_file(str(source), "data", "incoming/attacked.parquet")
    songs, canonical = pipeline.folder / "extracted", pipeline.folder / "canonical"
    written = {key: {"artifact": {"path": str(path), "metadata": {}}} for key, path in
               (("songs", songs), ("transformed", canonical), ("metrics", "none"))}  # fmt: skip
    steps = [
        (pipeline.step("extract", dataset_url="s3://data/incoming/attacked.parquet", songs=written["songs"]), songs),
        (pipeline.step("validate", songs=written["songs"], metrics=written["metrics"]), songs),
        (pipeline.step("transform", songs=written["songs"], transformed=written["transformed"]), canonical),
    ]
    buckets = ("data", "data-cache")
    for step, output in steps:
        points = killer.points(step)
        content, before = output.read_bytes(), objects(pipeline.repository.s3, *buckets)
        for point in tally.turn(points):
            killer.kill(step, point)
            tally.count(f"{step.name.split(':')[1]}, {point}")
            killer.whole(step)
            assert output.read_bytes() == content
            assert objects(pipeline.repository.s3, *buckets) == before
    assert pipeline.repository.commits == [pipeline.repository.first]
