import importlib.util
import subprocess
import sys

import pytest
import yaml

from jukebox_helpers import settings
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import compile as compiling
from jukebox_helpers.pipelines import declare, read
from jukebox_helpers.settings import KIT

SIZE_LIMITS = {settings.DATA_PIPELINE_YAML: 200_000, settings.TRAINING_PIPELINE_YAML: 262_144}
"""Bytes: of a file in git; and of the annotations of a Workflow, which hold a pipeline in a cluster."""

A_MODULE_CONSTANT = "does not travel"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The files that compiling needs, apart from the kit, so that compiling there leaves the kit alone."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("jukebox_helpers", "3-prod_datascience", "5-data-versioning", "requirements.txt"):
        subprocess.run(["cp", "-r", str(KIT / name), str(root / name)], check=True)
    return root


@pytest.fixture(scope="module")
def compiled(checkout):
    """Both pipelines, compiled."""
    found = {}
    for source, target in (
        (settings.DATA_PIPELINE, settings.DATA_PIPELINE_YAML),
        (settings.TRAINING_PIPELINE, settings.TRAINING_PIPELINE_YAML),
    ):
        (checkout / target).unlink(missing_ok=True)
        compiling.compile_file(checkout / source)
        found[target] = checkout / target
    return found


@pytest.fixture(scope="module")
def data_pipeline(compiled):
    return read.read_pipeline(compiled[settings.DATA_PIPELINE_YAML].read_text())


@pytest.fixture(scope="module")
def training_pipeline(compiled):
    return read.read_pipeline(compiled[settings.TRAINING_PIPELINE_YAML].read_text())


def test_committed_yaml_is_what_the_code_gives(compiled):
    committed = (KIT / settings.DATA_PIPELINE_YAML).read_bytes()
    assert compiled[settings.DATA_PIPELINE_YAML].read_bytes() == committed, "run ./jukebox compile and commit"


def test_compiling_twice_gives_the_same_bytes(compiled, checkout):
    for source, target in (
        (settings.DATA_PIPELINE, settings.DATA_PIPELINE_YAML),
        (settings.TRAINING_PIPELINE, settings.TRAINING_PIPELINE_YAML),
    ):
        before = compiled[target].read_bytes()
        compiling.compile_file(checkout / source)
        assert compiled[target].read_bytes() == before
        assert len(before) < SIZE_LIMITS[target]


def test_names_and_parameters_of_the_data_pipeline(data_pipeline):
    assert data_pipeline.name == "data-pipeline-with-dvc"
    assert {name: parameter["parameterType"] for name, parameter in data_pipeline.parameters.items()} == {
        "dataset_url": "STRING",
        "repo_url": "STRING",
    }
    assert not any("defaultValue" in parameter for parameter in data_pipeline.parameters.values())
    assert list(data_pipeline.steps()) == [
        "check-access",
        "extract",
        "validate",
        "transform",
        "load",
        "version-and-commit",
    ]


def test_names_and_parameters_of_the_training_pipeline(training_pipeline):
    assert training_pipeline.name == "training-pipeline"
    assert {name: parameter["parameterType"] for name, parameter in training_pipeline.parameters.items()} == {
        "hyperparameters": "STRUCT",
        "model_name": "STRING",
        "version": "STRING",
        "cluster_domain": "STRING",
        "model_storage_pvc": "STRING",
        "prod_flag": "BOOLEAN",
        "grid": "LIST",
        "tolerances": "STRUCT",
    }
    # The items of an untyped list are strings to a driver, and a step that wants a dict refuses them.
    (loop,) = (one for name, one in training_pipeline.spec["components"].items() if name.startswith("comp-for-loop"))
    item = loop["inputDefinitions"]["parameters"]["pipelinechannel--grid-loop-item"]
    assert item["parameterType"] == "STRUCT"
    optional = [name for name, parameter in training_pipeline.parameters.items() if "defaultValue" in parameter]
    assert optional == ["grid", "tolerances"]
    steps = list(training_pipeline.steps())
    assert steps[0] == "fetch-data"
    assert steps.index("validate-data") < steps.index("prepare-data") < steps.index("train-model")
    tasks = training_pipeline.spec["root"]["dag"]["tasks"]
    assert {"compare-model", "evaluate-model"} <= set(tasks["register-model"]["dependentTasks"])
    assert "compare-model" not in tasks["evaluate-model"]["dependentTasks"]  # in a cluster they run at the same time


def test_no_step_of_the_data_pipeline_is_cached(data_pipeline):
    tasks = data_pipeline.spec["root"]["dag"]["tasks"]
    assert tasks
    assert not [name for name, task in tasks.items() if task["cachingOptions"].get("enableCache")]


def test_each_step_gets_its_secrets_and_no_other(data_pipeline):
    secrets = {
        label: [entry["secretName"] for entry in data_pipeline.platform_of(label).get("secretAsEnv", [])]
        for label in data_pipeline.executors
    }
    assert secrets == {
        "exec-check-access": ["aws-connection-data", "git-auth"],
        "exec-extract": ["aws-connection-data"],
        "exec-validate": [],
        "exec-transform": [],
        "exec-load": ["aws-connection-data"],
        "exec-version-and-commit": ["aws-connection-data", "git-auth"],
    }


def test_older_drivers_find_no_field_that_they_do_not_know(data_pipeline, training_pipeline):
    for pipeline in (data_pipeline, training_pipeline):
        text = yaml.safe_dump(pipeline.platform)
        assert "secretName: aws-connection-" in text
        for unknown in ("secretNameParameter", "optional", "pvcNameParameter"):
            assert unknown not in text


def test_every_step_declares_the_versions_of_the_lock(data_pipeline, training_pipeline):
    locked = (declare.requirements("boto3") + declare.requirements("dvc[s3]"))[:2]
    install = data_pipeline.executors["exec-version-and-commit"]["command"][2]
    assert all(f"'{requirement}'" in install for requirement in locked)
    for pipeline in (data_pipeline, training_pipeline):
        for container in pipeline.executors.values():
            assert container["image"] == declare.BASE_IMAGE


def test_image_and_package_index_are_one_setting_each(checkout, monkeypatch):
    monkeypatch.setenv("JUKEBOX_BASE_IMAGE", "registry.example/python:3.12")
    monkeypatch.setenv("JUKEBOX_PACKAGE_INDEX", "https://packages.example/simple")
    target = checkout / settings.DATA_PIPELINE_YAML
    before = target.read_bytes()
    try:
        compiling.compile_file(checkout / settings.DATA_PIPELINE)
        for container in read.read_pipeline(target.read_text()).executors.values():
            assert container["image"] == "registry.example/python:3.12"
            assert "https://packages.example/simple" in container["command"][2]
    finally:
        target.write_bytes(before)


def test_a_git_server_named_at_compile_time_reaches_the_steps_with_the_password(checkout, monkeypatch):
    monkeypatch.setenv("JUKEBOX_GIT_SERVER", "https://Git.example.com/")
    target = checkout / settings.DATA_PIPELINE_YAML
    before = target.read_bytes()
    try:
        compiling.compile_file(checkout / settings.DATA_PIPELINE)
        executors = read.read_pipeline(target.read_text()).executors
    finally:
        target.write_bytes(before)
    given = {label: container["env"] for label, container in executors.items() if "env" in container}
    assert list(given) == ["exec-check-access", "exec-version-and-commit"]
    assert list(given.values()) == [[{"name": "JUKEBOX_GIT_SERVER", "value": "https://git.example.com"}]] * 2
    monkeypatch.setenv("JUKEBOX_GIT_SERVER", "git.example.com")
    with pytest.raises(JukeboxError, match="JUKEBOX_GIT_SERVER is not an address"):
        compiling.compile_file(checkout / settings.DATA_PIPELINE)
    assert target.read_bytes() == before


def callee(number: int) -> int:
    return number + 1


def caller() -> int:
    return sum(callee(number) for number in range(3))


def caller_of_a_constant() -> str:
    return A_MODULE_CONSTANT


def test_a_step_takes_along_all_that_it_calls():
    assert declare.travelling(caller) == [callee]


def test_a_step_that_uses_a_module_constant_is_refused():
    with pytest.raises(JukeboxError, match="A_MODULE_CONSTANT"):
        declare.travelling(caller_of_a_constant)


def test_the_steps_sources_are_complete(data_pipeline, training_pipeline):
    """Each step's program compiles and defines every function of ours that it calls."""
    for pipeline in (data_pipeline, training_pipeline):
        for container in pipeline.executors.values():
            program = container["command"][-1]
            assert "jukebox_helpers" not in program.replace("'jukebox_helpers'", "")
            compile(program, "step", "exec")
            result = subprocess.run(
                [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "-q", "-"],
                input=program.replace("from kfp.dsl import *", "from kfp.dsl import Input, Output, Dataset, Metrics, "
                                      "Model, Artifact, HTML, ClassificationMetrics"),
                capture_output=True,
                text=True,
            )  # fmt: skip
            assert result.returncode == 0, result.stdout


def test_the_sources_are_there_to_be_read(data_pipeline):
    text = (KIT / settings.DATA_PIPELINE_YAML).read_text()
    assert "     def transform_songs(source: str, target: str) -> dict:\n" in text
    program = data_pipeline.executors["exec-load"]["command"][-1]
    assert '    """Put a file into a bucket, whole or not at all."""\n' in program
    assert "Args:" not in program


def test_a_part_of_a_pipeline_holds_what_its_last_step_needs(training_pipeline):
    part = training_pipeline.until("export-model")
    assert set(part.steps()) == {"fetch-data", "validate-data", "prepare-data", "train-model", "export-model"}
    assert "register-model" in training_pipeline.steps()


def test_an_argument_can_be_set_for_one_step(training_pipeline):
    changed = training_pipeline.with_argument("train-model", "hyperparameters", "x")
    task = changed.spec["root"]["dag"]["tasks"]["train-model"]
    assert task["inputs"]["parameters"]["hyperparameters"] == {"runtimeValue": {"constant": "x"}}
    assert training_pipeline.spec["root"]["dag"]["tasks"]["train-model"] != task


@pytest.mark.parametrize("text", ["", "just text", "a: [1", "{}", "pipelineInfo: {name: x}"])
def test_what_is_no_pipeline_is_refused(text):
    with pytest.raises(JukeboxError, match="not a compiled pipeline"):
        read.read_pipeline(text)


def test_a_file_that_does_not_compile_says_why(tmp_path):
    folder = tmp_path / "5-data-versioning"
    folder.mkdir()
    file = folder / "broken.py"
    file.write_text("import kfp\nraise ValueError('this is why')\n")
    with pytest.raises(JukeboxError, match="this is why"):
        compiling.compile_file(file)


def test_an_unknown_package_is_refused_by_name():
    with pytest.raises(JukeboxError, match="no-such-package"):
        declare.requirements("no-such-package")


def test_pipeline_files_can_be_loaded_for_kfp_tools(checkout):
    """The pipeline's function is where `kfp dsl compile` looks for it."""
    spec = importlib.util.spec_from_file_location("data_pipeline_file", checkout / settings.DATA_PIPELINE)
    sys.path.insert(0, str((checkout / settings.DATA_PIPELINE).parent))
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    assert module.data_pipeline.pipeline_spec.pipeline_info.name == "data-pipeline-with-dvc"
