"""SIGKILL at each write, call of git and request of the steps of the training, which are then run again."""

import hashlib

import pytest
from data_repository import Repository, add_buckets, objects
from killing import Killer, Step

from jukebox_helpers.pipelines.registry import model_registry
from jukebox_helpers.steps import s3, sample_data

PROMISES = (4, 5, 6)
NAME = "attacked-model"
SONGS = 120


@pytest.fixture(scope="module")
def training(sandbox, tmp_path_factory):
    add_buckets(sandbox)
    killer = Killer(sandbox, tmp_path_factory.mktemp("steps"))
    yield Training(killer, tmp_path_factory.mktemp("training"))
    killer.close()


class Training:
    """A training that has run to its end once, step by step, and can run again."""

    def __init__(self, killer, folder):
        self.killer, self.folder = killer, folder
        self.registry = model_registry(killer.settings)
        self.s3 = s3.s3_client(killer.settings.secret("aws-connection-models"))
        self.facts = {}
        self.place = {"model_name": NAME, "cluster_domain": killer.address, "prod_flag": False}
        self.repository = Repository(killer.settings, "jukebox")
        self.revision = self.versioned()
        self.steps = self.all_steps()
        for step in self.steps.values():
            self.run(step)

    def versioned(self):
        """The revision of a data version."""
        songs = self.folder / "versioned.parquet"
        sample_data.make_songs(str(songs), songs=SONGS)
        data = self.killer.container("aws-connection-data")
        both = data | self.killer.container("git-auth")
        canonical = self.artifact("canonical")
        raw = {"artifact": {"path": str(songs), "metadata": {}}}
        self.killer.whole(Step("data_steps:transform", {"songs": raw, "transformed": canonical}, data))
        md5 = self.killer.whole(Step("data_steps:load", {"transformed": canonical}, data))["given"]
        url = self.killer.address + self.repository.path
        return self.killer.whole(Step("data_steps:version_and_commit", {"repo_url": url, "md5": md5}, both))["given"]

    def artifact(self, name):
        return {"artifact": {"path": str(self.folder / name), "metadata": self.facts.get(name, {})}}

    def all_steps(self):
        """Each step of the training pipeline, as that one names them."""
        both = self.killer.container("aws-connection-data", "git-auth")
        models, version = self.killer.container("aws-connection-models", KFP_RUN_ID="attacked"), self.revision[:10]
        fetch = {"cluster_domain": self.killer.address, "git_version": version}
        train = {"hyperparameters": {"epochs": 2}, "version": version, "kit_version": "1"}
        names = {
            "fetch_data:fetch_data_from_dvc": (["songs", "rankings"], fetch, both),
            "prepare_data:prepare_data": (["songs", "rankings", "features", "counts"], {}, {}),
            "train_model:train_model": (
                ["features", "counts", "model", "onnx_model", "expected", "forward"], train, {}
            ),
            "fetch_previous_model:fetch_previous_model": (
                ["previous_model"], {"version": version, **self.place}, models
            ),
            "evaluate_model:evaluate_model": (
                ["onnx_model", "expected", "previous_model", "features", "counts", "forward", "report", "metrics",
                 "confusion", "picture"], {"tolerances": {"prior_margin": -99}}, {}
            ),
            "register_model:register_model": (
                ["model", "onnx_model", "features", "report"], {"version": version, **self.place}, models
            ),
        }  # fmt: skip
        return {
            name.partition(":")[2]: lambda name=name, names=names: Step(
                name,
                {one: self.artifact(one) for one in names[name][0]} | names[name][1],
                self.killer.container() | names[name][2],
            )
            for name in names
        }

    def run(self, step):
        """Run a step to its end, and keep the facts that it left."""
        self.facts |= self.killer.whole(step())["facts"]

    def outputs(self):
        """The digests of the files that the steps have made."""
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in self.folder.iterdir()}

    def registered(self):
        """The versions that anybody finds; each has its file, and knows what it is made of."""
        found = self.registry.versions(NAME)
        for one in found:
            bucket, _, key = one["uri"].removeprefix("s3://").partition("/")
            content = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            assert hashlib.sha256(content).hexdigest() == one["metadata"]["model sha256"]
            assert one["metadata"]["git revision"] and one["metadata"]["metric.log_loss"] > 0
        return [one["version"] for one in found]


@pytest.mark.parametrize("name", ["fetch_data_from_dvc", "prepare_data", "train_model", "evaluate_model"])
def test_what_makes_files(training, tally, name):
    """Buckets, git and registry stay as they are; after a kill the same files are made again, bit for bit."""
    step = training.steps[name]
    points = training.killer.points(step())
    buckets = ("data", "data-cache", "models")
    before, made = objects(training.repository.s3, *buckets), training.outputs()
    known = training.registered()
    for point in tally.turn(points):
        training.killer.kill(step(), point)
        tally.count(f"{name}, {point}")
        training.run(step)
        assert training.outputs() == made
        assert objects(training.repository.s3, *buckets) == before
    assert training.registered() == known
    training.repository.check_clean()


@pytest.mark.parametrize("production", [False, True])
def test_registering(training, tally, production):
    def step(number):
        made = training.steps["register_model"]()
        made.arguments |= {"version": f"{production:d}{number:09d}", "prod_flag": production}
        return made

    points = training.killer.points(step(0))
    for number, point in enumerate(tally.turn(points), 1):
        before = training.registered()
        training.killer.kill(step(number), point)
        tally.count(f"register-model{', for production' * production}, {point}")
        version = step(number).arguments["version"]
        assert training.registered() in (before, [*before, version])
        training.killer.whole(step(number))
        assert training.registered() == [*before, version]
        assert training.registry.find(NAME, version)["production"] == production
        assert len(objects_of(training, version)) == 1
    assert len(objects_of(training, "")) == len(training.registered())


def objects_of(training, version):
    """The files of a model version, or of all."""
    return [key for _, key in objects(training.s3, "models") if key.startswith(f"{NAME}/{version}")]
