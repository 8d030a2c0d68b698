"""The compiled pipelines: what their YAML says of steps, parameters, Secrets and caching."""

import importlib.util
import re
import shlex
import sys
from importlib import metadata

import pytest
import yaml
from caching import caching
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from jukebox_helpers import settings
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import compile as compiling
from jukebox_helpers.pipelines import declare, read
from jukebox_helpers.pipelines.reproduction import exporting_step
from jukebox_helpers.settings import KIT


def load(source):
    """The module of a pipeline's file, and beside it its steps, as `kfp dsl compile` loads them."""
    spec = importlib.util.spec_from_file_location(f"{source.stem}_of_a_test", source)
    sys.path.insert(0, str(source.parent))
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The pipelines, compiled."""
    folder = tmp_path_factory.mktemp("compiled")
    data, training = load(KIT / settings.DATA_PIPELINE), load(KIT / settings.TRAINING_PIPELINE)
    grid = load(KIT / settings.GRID_PIPELINE)
    return {
        settings.GRID_PIPELINE_YAML: compiling.compile_pipeline(grid.grid_pipeline, folder / "grid.yaml"),
        settings.DATA_PIPELINE_YAML: compiling.compile_pipeline(data.data_pipeline, folder / "data.yaml"),
        settings.TRAINING_PIPELINE_YAML: compiling.compile_pipeline(training.training_pipeline, folder / "t.yaml"),
    }


@pytest.fixture(scope="module")
def data_pipeline(compiled):
    return read.read_pipeline(compiled[settings.DATA_PIPELINE_YAML].read_text())


@pytest.fixture(scope="module")
def training_pipeline(compiled):
    return read.read_pipeline(compiled[settings.TRAINING_PIPELINE_YAML].read_text())


@pytest.fixture(scope="module")
def grid_pipeline(compiled):
    return read.read_pipeline(compiled[settings.GRID_PIPELINE_YAML].read_text())


def test_committed_yaml_is_what_the_code_gives(compiled):
    committed = (KIT / settings.DATA_PIPELINE_YAML).read_bytes()
    assert compiled[settings.DATA_PIPELINE_YAML].read_bytes() == committed, "run ./jukebox compile and commit"


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
        "tolerances": "STRUCT",
    }
    optional = [name for name, parameter in training_pipeline.parameters.items() if "defaultValue" in parameter]
    assert optional == ["tolerances"]
    steps = list(training_pipeline.steps())
    assert steps[0] == "fetch-data"
    assert steps.index("validate-data") < steps.index("prepare-data") < steps.index("train-model")
    tasks = training_pipeline.spec["root"]["dag"]["tasks"]
    assert "evaluate-model" in tasks["register-model"]["dependentTasks"]
    assert "fetch-previous-model" in tasks["evaluate-model"]["dependentTasks"]
    assert "fetch-previous-model" not in tasks["train-model"].get("dependentTasks", [])
    assert "train-model" not in tasks["fetch-previous-model"]["dependentTasks"]


def test_the_grid_is_checked_before_anything_else_runs(grid_pipeline):
    kinds = {name: parameter["parameterType"] for name, parameter in grid_pipeline.parameters.items()}
    assert kinds == {"grid": "LIST", "version": "STRING", "cluster_domain": "STRING"}
    # The items of an untyped list are strings to a driver, and a step that wants a dict refuses them.
    (loop,) = (one for name, one in grid_pipeline.spec["components"].items() if name.startswith("comp-for-loop"))
    item = loop["inputDefinitions"]["parameters"]["pipelinechannel--grid-loop-item"]
    assert item["parameterType"] == "STRUCT"
    tasks = grid_pipeline.spec["root"]["dag"]["tasks"]
    assert "check-grid" in tasks["fetch-data-from-dvc"]["dependentTasks"]
    found = caching(grid_pipeline)
    assert "score-candidate" in found and not any(found.values())


def fed(pipeline):
    """Where each parameter of each task comes from, the type there and the type that the task wants."""
    components = pipeline.spec["components"]
    for group in [pipeline.spec["root"], *components.values()]:
        tasks = group.get("dag", {}).get("tasks", {})
        for name, task in tasks.items():
            wanted = components[task["componentRef"]["name"]].get("inputDefinitions", {}).get("parameters", {})
            for parameter, source in task.get("inputs", {}).get("parameters", {}).items():
                there = None
                if given := source.get("componentInputParameter"):
                    there = group["inputDefinitions"]["parameters"].get(given)
                elif given := source.get("taskOutputParameter"):
                    producer = components[tasks[given["producerTask"]]["componentRef"]["name"]]
                    there = producer["outputDefinitions"]["parameters"][given["outputParameterKey"]]
                if there:  # neither a constant nor the item of a loop, whose type another test has
                    yield f"{name}.{parameter}", there["parameterType"], wanted[parameter]["parameterType"]


def test_every_parameter_has_the_type_of_what_feeds_it(data_pipeline, training_pipeline, grid_pipeline):
    """A driver refuses a STRING for a STRUCT."""
    found = [one for pipeline in (data_pipeline, training_pipeline, grid_pipeline) for one in fed(pipeline)]
    assert {"train-model", "version-and-commit"} < {name.split(".")[0] for name, *_ in found}
    assert len(found) > 20 and [one for one in found if one[1] != one[2]] == []


def test_no_placeholder_is_one_that_an_older_server_does_not_know(data_pipeline, training_pipeline, grid_pipeline):
    """It would hand on the name instead of the value."""
    for pipeline in (data_pipeline, training_pipeline, grid_pipeline):
        named = set(re.findall(r"\{\{\$[^}]*\}\}", pipeline.text()))
        assert named == {"{{$}}"}


def test_no_step_of_the_data_pipeline_is_cached(data_pipeline):
    found = caching(data_pipeline)
    assert len(found) == len(data_pipeline.executors) > 0
    assert [name for name, cached in found.items() if cached] == []


def test_no_step_of_the_training_pipeline_is_cached(training_pipeline):
    """Not even the one inside the condition on the volume."""
    found = caching(training_pipeline)
    assert len(found) == len(training_pipeline.executors) and "store-model" in found
    assert [name for name, cached in found.items() if cached] == []


def test_the_registry_gets_the_runs_id_as_every_server_gives_it(training_pipeline):
    """KFP 2.2 hands on the name of the placeholder ``{{$.pipeline_job_uuid}}``."""
    fields = training_pipeline.platform_of("exec-register-model")["fieldPathAsEnv"]
    assert {"name": "KFP_RUN_ID", "fieldPath": "metadata.labels['pipeline/runid']"} in fields
    assert "pipeline_job_uuid" not in training_pipeline.text()


def test_openblas_begins_with_one_thread_in_each_step(data_pipeline, training_pipeline):
    """On a node with many processors it would begin with as many, and each takes memory of the pod's."""
    for executor in (*data_pipeline.executors.values(), *training_pipeline.executors.values()):
        assert {"name": "OPENBLAS_NUM_THREADS", "value": "1"} in executor["env"]


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


def installs(pipeline):
    """What each step of a pipeline installs, by the name of its executor."""
    for label, executor in pipeline.executors.items():
        assert executor["image"] == declare.BASE_IMAGE
        [line] = [line for line in executor["command"][2].splitlines() if " pip install " in line]
        yield label, shlex.split(line.split(" && ")[0].split(" pip install ")[1])


def test_every_step_installs_what_the_lock_names_and_in_one_go(data_pipeline, training_pipeline, grid_pipeline):
    pins, _ = declare.read_lock()
    locked = {pin for lines in pins.values() for pin in lines}
    for pipeline in (data_pipeline, training_pipeline, grid_pipeline):
        for label, words in installs(pipeline):
            assert {"--no-deps", "--no-compile"} < set(words), label
            assert {word for word in words if not word.startswith("--")} <= locked, label
            assert pins["kfp"][0] in words, label


def test_every_step_installs_all_that_its_packages_need(data_pipeline, training_pipeline, grid_pipeline):
    """Pip resolves nothing in a step. Resolved here, from what the packages say of themselves."""
    for pipeline in (data_pipeline, training_pipeline, grid_pipeline):
        for label, words in installs(pipeline):
            named = [Requirement(word) for word in words if not word.startswith("--")]
            here = {one.name: one for one in named if not one.marker or one.marker.evaluate()}
            ahead = [(name, "") for name in here if name != "kfp"]
            while ahead:
                name, extra = ahead.pop()
                for needed in map(Requirement, metadata.requires(name) or ()):
                    if needed.marker and not needed.marker.evaluate({"extra": extra}):
                        continue
                    found = canonicalize_name(needed.name)
                    if found in declare.UNUSED:
                        continue
                    assert found in here, f"{label} installs {name}, which needs {needed}"
                    assert needed.specifier.contains(metadata.version(found), prereleases=True)
                    ahead += [(found, one) for one in needed.extras]
            assert all(one.specifier.contains(metadata.version(name)) for name, one in here.items())


def test_no_step_builds_a_package(data_pipeline, training_pipeline, grid_pipeline):
    """What builds it would be the newest there is, which no lock names."""
    built = {"antlr4-python3-runtime"}
    assert all(f"{name}==" in (KIT / "requirements.txt").read_text() for name in (*built, *declare.UNUSED))
    for pipeline in (data_pipeline, training_pipeline, grid_pipeline):
        for label, words in installs(pipeline):
            assert not [word for word in words if word.split("==")[0] in built], label


def test_a_lock_says_what_a_package_needs(monkeypatch, tmp_path):
    lock = (
        "a==1 \\\n    --hash=sha256:0\n    # via the kit\nb==2 ; python_full_version < '3.12' \\\n    --hash=sha256:1\n"
        "    # via\n    #   a\n    #   the kit\nb==3 ; python_full_version >= '3.12'\n    # via\n    #   a\n"
        "c==4\n    # via b\nd==5\n    # via c-and-more\n"
    )
    (tmp_path / "requirements.txt").write_text(lock)
    monkeypatch.setattr(declare, "KIT", tmp_path)
    twice = ['b==2 ; python_full_version < "3.12"', 'b==3 ; python_full_version >= "3.12"']
    assert declare.requirements("a[extra]") == ["a==1", *twice, "c==4"]
    assert declare.requirements("d", "c") == ["c==4", "d==5"]


def test_the_sources_are_there_to_be_read(data_pipeline):
    text = (KIT / settings.DATA_PIPELINE_YAML).read_text()
    assert "     def transform_songs(source, target):\n" in text
    program = data_pipeline.executors["exec-load"]["command"][-1]
    assert "\ndef load_to_cache(" in program and '"""' not in program
    assert program.endswith("\nsys.excepthook = say_why\n")


def test_a_part_of_a_pipeline_holds_what_its_last_step_needs(training_pipeline):
    part = training_pipeline.until("train-model")
    assert set(part.steps()) == {"fetch-data", "validate-data", "prepare-data", "train-model"}
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


def test_an_importer_is_read_so_that_the_server_can_refuse_it_by_name():
    importer = {"importer": {"artifactUri": {"constant": "s3://data/x"}}}
    spec = {"pipelineInfo": {"name": "p"}, "deploymentSpec": {"executors": {"exec-importer": importer}}}
    assert read.read_pipeline(yaml.safe_dump(spec)).executors == {}


@pytest.mark.parametrize("user", ["user:secret", "token"])
def test_a_package_index_with_a_password_is_not_written_into_the_yaml(monkeypatch, user):
    monkeypatch.setenv("JUKEBOX_PACKAGE_INDEX", f"https://{user}@packages.example/simple")
    with pytest.raises(JukeboxError, match="JUKEBOX_PACKAGE_INDEX holds a user name or a password") as refused:
        declare.step("boto3")
    assert user not in str(refused.value)


def test_an_unknown_package_is_refused_by_name():
    with pytest.raises(JukeboxError, match="no-such-package"):
        declare.requirements("no-such-package")


def test_pipeline_files_can_be_loaded_for_kfp_tools():
    """The pipeline's function is where `kfp dsl compile` looks for it."""
    module = load(KIT / settings.DATA_PIPELINE)
    assert module.data_pipeline.pipeline_spec.pipeline_info.name == "data-pipeline-with-dvc"


def test_the_step_that_exports_is_found_in_older_revisions_too():
    assert exporting_step(["fetch-data", "train-model", "export-model"]) == "export-model"
    assert exporting_step(iter(["fetch-data", "train-model", "evaluate-model"])) == "train-model"
