"""One YAML for every backend from OpenShift AI 2.16 (KFP 2.2.0) on, and for every SDK from 2.14.6 on."""

import json
import os
import subprocess

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2
from throwaway import environment_with

from jukebox_helpers import settings
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import compile, declare
from jukebox_helpers.settings import KIT
from jukebox_helpers.workshop import edits

LOWEST_SDK, HIGHEST_SDK = "2.14.6", "2.17.0"
OLDEST_BACKEND = ("kfp-pipeline-spec==0.2.2", "kfp-kubernetes==1.2.0")
"""The definitions of both documents that the backend 2.2.0 was built with. Its go.mod of April 2024 names those of
31 March 2023 and 3 April 2024; these packages were released in the two weeks after.
https://github.com/kubeflow/pipelines/blob/2.2.0/go.mod"""

FIELDS_OF_THE_OLDEST_BACKEND = {
    "secretAsEnv": {"secretName", "keyToEnv"},
    "fieldPathAsEnv": {"name", "fieldPath"},
    "pvcMount": {"mountPath", "constant", "componentInputParameter", "taskOutputParameter"},
}
"""The part of that platform spec that these pipelines may use."""

PARSE = """
import glob, importlib.util, json, sys
from google.protobuf import json_format

def load(name):
    [file] = glob.glob(sys.prefix + "/lib/python*/site-packages/kfp/" + name)
    spec = importlib.util.spec_from_file_location("definition", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

pipelines = load("pipeline_spec/pipeline_spec_pb2.py")
platforms = load("kubernetes/kubernetes_executor_config_pb2.py")
for spec, platform in json.load(sys.stdin):
    json_format.ParseDict(spec, pipelines.PipelineSpec())
    for executor in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        json_format.ParseDict(executor, platforms.KubernetesExecutorConfig())
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The files that compiling needs, with the attendee's edit: so all of the steps are there."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("jukebox_helpers", "3-prod_datascience", "5-data-versioning", "requirements.txt"):
        subprocess.run(["cp", "-r", KIT / name, root / name], check=True)
    edits.train_on_versioned_data(root / settings.TRAINING_PIPELINE)
    for source in (settings.DATA_PIPELINE, settings.TRAINING_PIPELINE):
        compile.compile_file(root / source)
    return root


@pytest.fixture(scope="module")
def compiled(checkout):
    """Both documents of both pipelines."""
    files = (settings.DATA_PIPELINE_YAML, settings.TRAINING_PIPELINE_YAML)
    return [list(yaml.safe_load_all((checkout / file).read_text())) for file in files]


def test_no_step_carries_more_than_it_needs(compiled):
    """What evaluates opens no registry and no bucket; what registers evaluates nothing."""
    sources = {
        label.removeprefix("exec-"): container["container"]["command"][-1]
        for spec, _ in compiled
        for label, container in spec["deploymentSpec"]["executors"].items()
    }
    sizes = {name: len(source.encode()) for name, source in sources.items()}
    assert max(sizes.values()) < 27_000, sizes
    assert max(sizes["evaluate-model"], sizes["fetch-previous-model"]) < 20_000
    for name, names in {
        "evaluate-model": ("Registry", "boto3"),
        "fetch-previous-model": ("Registry(", "check_registration", "def judge"),
        "register-model": ("def judge", "onnxruntime"),
    }.items():
        assert not [one for one in names if one in sources[name]], name


def pod_as_argo_carries_it(container, component):
    """The bytes of the template that Argo hands to a pod in one variable, as drivers of KFP make it.

    What the driver says of the pod is JSON, and stands in the template's JSON twice: as an input and as the patch.
    https://github.com/kubeflow/pipelines/blob/master/backend/src/v2/compiler/argocompiler/container.go
    """
    launcher = ["/kfp-launcher/launch", "--component_spec", json.dumps(component), "--executor_input", "x" * 4_000]
    main = {**container, "name": "main", "command": [*launcher, "--", *container["command"]]}
    patch = json.dumps({"containers": [main]})
    inputs = {"parameters": [{"name": "pod-spec-patch", "value": patch}]}
    return len(json.dumps({"inputs": inputs, "podSpecPatch": patch, "container": "x" * 6_000}).encode())


def test_every_pod_is_well_below_what_argo_can_start(compiled):
    """131,072 bytes is the most that Linux takes as one variable, and Argo before 3.6 needs that."""
    sizes = {}
    for spec, _ in compiled:
        for component in spec["components"].values():
            if label := component.get("executorLabel"):
                container = spec["deploymentSpec"]["executors"][label]["container"]
                sizes[label] = pod_as_argo_carries_it(container, component)
    assert len(sizes) == 14 and max(sizes.values()) < 100_000, sizes


def executors(platform):
    return platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def parse(documents):
    """Both documents, strictly: an unknown field is an error."""
    spec, platform = documents
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    for executor in executors(platform).values():
        json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


def test_both_documents_are_what_the_definitions_say(compiled):
    for documents in compiled:
        assert len(documents) == 2
        parse(documents)


@pytest.mark.parametrize("place", ["spec", "task", "executor", "secret"])
def test_a_field_that_is_not_defined_is_noticed(compiled, place):
    documents = json.loads(json.dumps(compiled[0]))
    spec, platform = documents
    extract = executors(platform)["exec-extract"]
    places = {
        "spec": spec,
        "task": spec["root"]["dag"]["tasks"]["extract"],
        "executor": extract,
        "secret": extract["secretAsEnv"][0],
    }
    places[place]["workspace"] = "x"
    with pytest.raises(json_format.ParseError, match="workspace"):
        parse(documents)


def test_the_platform_spec_has_only_fields_that_the_oldest_backend_knows(compiled):
    seen = set()
    for _, platform in compiled:
        assert set(platform) == {"platforms"} and set(platform["platforms"]) == {"kubernetes"}
        assert set(platform["platforms"]["kubernetes"]) == {"deploymentSpec"}
        for label, executor in executors(platform).items():
            for kind, entries in executor.items():
                seen.add(kind)
                for entry in entries:
                    assert set(entry) <= FIELDS_OF_THE_OLDEST_BACKEND[kind], f"{label}: {kind}"
    assert seen == set(FIELDS_OF_THE_OLDEST_BACKEND)


def test_the_oldest_backends_own_definitions_accept_the_yaml(compiled, tmp_path):
    python = environment_with(
        tmp_path / "oldest", *OLDEST_BACKEND, "protobuf==3.20.3", "googleapis-common-protos==1.63.2", dependencies=False
    )

    def accepts(documents):
        order = json.dumps(documents)
        return subprocess.run([python, "-c", PARSE], input=order, capture_output=True, text=True)

    result = accepts(compiled)
    assert result.returncode == 0, result.stderr
    for place, name in (
        (executors(compiled[0][1])["exec-extract"]["secretAsEnv"][0], "optional"),
        (compiled[0][0]["root"]["dag"]["tasks"]["extract"]["cachingOptions"], "cacheKey"),
    ):
        place[name] = "x"  # a field of later releases
        try:
            assert f'no field named "{name}"' in accepts(compiled).stderr
        finally:
            del place[name]


def test_the_lowest_sdk_compiles_the_same(checkout, compiled, tmp_path):
    """Byte for byte, but for its own version; with nothing installed but the SDK, as all else travels."""
    python = environment_with(tmp_path / "lowest", f"kfp=={LOWEST_SDK}", f"kfp-kubernetes=={LOWEST_SDK}", "click")
    folder = tmp_path / "checkout"
    subprocess.run(["cp", "-r", checkout, folder], check=True)
    assert compiled[0][0]["sdkVersion"] == f"kfp-{HIGHEST_SDK}"
    for source, target in (
        (settings.DATA_PIPELINE, settings.DATA_PIPELINE_YAML),
        (settings.TRAINING_PIPELINE, settings.TRAINING_PIPELINE_YAML),
    ):
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        result = subprocess.run([python, folder / source], env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        theirs = (folder / target).read_text()
        assert f"sdkVersion: kfp-{LOWEST_SDK}\n" in theirs
        assert theirs.replace(LOWEST_SDK, HIGHEST_SDK) == (checkout / target).read_text()


def test_a_package_index_with_a_password_is_refused(monkeypatch):
    monkeypatch.setenv("JUKEBOX_PACKAGE_INDEX", "https://user1:hunter2@packages.example/simple")
    with pytest.raises(JukeboxError, match=r"would be written into the YAML.*\nNext: ") as error:
        declare.step("boto3")
    assert "hunter2" not in str(error.value)
