"""What the runner of the pipeline server refuses before anything starts: step and feature, in a sentence."""

import importlib.metadata

import pytest
import yaml
from kfp import compiler, dsl, kubernetes

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server.runner import check, packages, plan
from jukebox_sandbox.pipeline_server.runner.volumes import Volumes
from jukebox_sandbox.pipeline_server.runner.walk import root_parameters
from jukebox_sandbox.state import Sandbox, write_secret

PANDAS = importlib.metadata.version("pandas")


@dsl.component(base_image="python:3.12")
def step(value: str = "") -> str:
    return value


@dsl.component(base_image="python:3.12", packages_to_install=[f"pandas[excel]=={PANDAS}", "numpy>1", "boto3"])
def declares():
    pass


@dsl.component(base_image="python:3.12", packages_to_install=["no-such-package"])
def declares_what_is_not_here():
    pass


@dsl.component(base_image="python:3.12", packages_to_install=["pandas==0.1"])
def declares_another_version():
    pass


@dsl.component(base_image="python:3.12", packages_to_install=["git+https://example.org/x.git"])
def declares_an_address():
    pass


@dsl.container_component
def echo(text: str):
    return dsl.ContainerSpec(image="alpine", command=["echo"], args=[text])


@dsl.container_component
def no_command():
    return dsl.ContainerSpec(image="alpine", args=["hi"])


def importer():
    dsl.importer(artifact_uri="s3://data/x", artifact_class=dsl.Dataset)


def config_map():
    kubernetes.use_config_map_as_env(step(), config_map_name="cm", config_map_key_to_env={"a": "A"})


def config_map_volume():
    kubernetes.use_config_map_as_volume(step(), config_map_name="cm", mount_path="/etc/cm")


def secret_volume():
    kubernetes.use_secret_as_volume(step(), secret_name="s", mount_path="/secrets")


def field_path():
    kubernetes.use_field_path_as_env(step(), env_name="ip", field_path="status.podIP")


def create_claim():
    kubernetes.CreatePVC(pvc_name="x", access_modes=["ReadWriteOnce"], size="1Gi", storage_class_name="standard")


def accelerator():
    step().set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(1)


REFUSED = [
    (importer, "Step 'importer' is an importer"),
    (lambda: echo(text="hi"), "Step 'echo' is a container component: it runs the program 'echo' of the image 'alpine'"),
    (no_command, "Step 'no-command' is a container component"),
    (config_map, "Step 'step' asks for config map as env (configMapAsEnv in the platform spec)"),
    (config_map_volume, "Step 'step' asks for config map as volume"),
    (secret_volume, "Step 'step' asks for secret as volume"),
    (field_path, "Step 'step' asks for the field path 'status.podIP'"),
    (create_claim, "Step 'createpvc' makes or deletes a volume claim"),
    (accelerator, "Step 'step' asks for an accelerator"),
    (declares_what_is_not_here, "declares no-such-package, but this environment has no version of it"),
    (declares_another_version, f"declares pandas==0.1, but this environment has {PANDAS} of it"),
    (declares_an_address, "installs 'git+https://example.org/x.git', which is not the name of a package"),
]


def compiled(tmp_path, body, name="refused", **annotations):
    def pipeline():
        body()

    file = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(dsl.pipeline(name=name)(pipeline), str(file))
    return file.read_text()


@pytest.mark.parametrize(("body", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_this_machine_cannot_do_is_refused_by_step_and_feature(tmp_path, body, said):
    with pytest.raises(SandboxError) as error:
        check(compiled(tmp_path, body))
    assert said in error.value.what and error.value.next_action


def test_what_says_where_a_pod_runs_is_no_reason_to_refuse(tmp_path):
    def body():
        task = step().set_cpu_limit("1").set_memory_limit("1G")
        kubernetes.add_node_selector(task, label_key="a", label_value="b")
        kubernetes.add_pod_label(task, label_key="a", label_value="b")
        kubernetes.set_image_pull_policy(task, "Always")
        kubernetes.set_timeout(task, 60)

    assert check(compiled(tmp_path, body)).name == "refused"


def test_declared_packages_that_are_here_are_accepted_with_a_pin_a_range_an_extra_or_nothing(tmp_path):
    assert check(compiled(tmp_path, declares)).name == "refused"


@pytest.mark.parametrize(("pin", "accepted"), [("2.17.9", True), ("2.16.0", False), ("2.14.6", False)])
def test_the_pin_of_kfp_counts_by_major_and_minor(tmp_path, pin, accepted, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: {"kfp": "2.17.0"}.get(name, "1"))
    text = compiled(tmp_path, step).replace("kfp==2.17.0", f"kfp=={pin}")
    if accepted:
        check(text)
    else:
        with pytest.raises(SandboxError, match=f"declares kfp=={pin}"):
            check(text)


@pytest.mark.parametrize(
    "text", ["", "[]", "a: b", "{", "pipelineInfo: {name: x}\nroot: {dag: {tasks: {a: {componentRef: {name: no}}}}}"]
)
def test_what_is_no_compiled_pipeline_is_refused(text):
    with pytest.raises(SandboxError, match="This is not a compiled pipeline"):
        check(text)


@pytest.mark.parametrize(
    "condition",
    ["inputs.parameter_values['x'] in ['a']", "size(inputs.parameter_values['x']) == 1", "true &&", "'it's' == 'x'"],
)
def test_an_expression_that_the_compiler_does_not_write_is_refused(tmp_path, condition):
    def body():
        with dsl.If(step().output == "replaced"):
            step()

    text = compiled(tmp_path, body)
    spec = check(text)
    (name,) = (one for one in spec.root["dag"]["tasks"] if one.startswith("condition"))
    spec.root["dag"]["tasks"][name]["triggerPolicy"]["condition"] = condition
    with pytest.raises(SandboxError, match=f"Task '{name}' has an expression that cannot be read here"):
        check(yaml.safe_dump(spec.spec))


@dsl.pipeline(name="needs")
def needs(secret: str, claim: str = ""):
    task = step()
    kubernetes.use_secret_as_env(task, secret_name=secret, secret_key_to_env={"key": "V"})
    with dsl.If(claim != ""):
        store = step()
        kubernetes.mount_pvc(store, pvc_name=claim, mount_path="/proc/models")


def needs_of(tmp_path, **parameters):
    file = tmp_path / "needs.yaml"
    compiler.Compiler().compile(needs, str(file))
    pipeline = check(file.read_text())
    sandbox = Sandbox(tmp_path, "", "")
    plan.check_needs(pipeline, root_parameters(pipeline, parameters), sandbox, Volumes(tmp_path / "volumes"))


def test_a_secret_that_a_parameter_names_is_looked_for_before_anything_starts(tmp_path):
    write_secret(tmp_path / "secrets" / "here", {"key": "x"})
    write_secret(tmp_path / "secrets" / "other", {"no": "x"})
    needs_of(tmp_path, secret="here")
    with pytest.raises(SandboxError, match="Step 'step': There is no Secret 'gone'"):
        needs_of(tmp_path, secret="gone")
    with pytest.raises(SandboxError, match="Step 'step' needs the key 'key', and Secret 'other' has none"):
        needs_of(tmp_path, secret="other")
    with pytest.raises(SandboxError, match="is not the name of a Secret"):
        needs_of(tmp_path, secret="../here")


def test_a_claim_is_refused_before_anything_starts_only_if_its_step_would_run(tmp_path):
    write_secret(tmp_path / "secrets" / "here", {"key": "x"})
    with pytest.raises(SandboxError, match="Step 'step-2' mounts the volume claim 'models' at /proc/models"):
        needs_of(tmp_path, secret="here", claim="models")


def test_a_closure_holds_what_a_package_and_its_extras_need(tmp_path):
    names = packages.closure(packages.declared("x", ["pip install 'dvc[s3]' && \"$0\"", ""]))
    assert {"dvc", "dvc-s3", "botocore", "dvc-data"} <= names and "pandas" not in names and "mlflow" not in names
    alone = packages.closure(packages.declared("x", ["pip install 'kfp==2.17.0' '--no-deps' && \"$0\"", ""]))
    assert alone == {"kfp"}
    assert "pandas" in packages.hidden(names) and "dvc" not in packages.hidden(names)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("command:", "command: 1\n        other:"),
        ("'no-such-package'", "'no-such-package"),
        ("parameterType: STRING", "a: b"),
    ],
)
def test_a_spec_that_somebody_has_changed_is_refused_without_a_traceback(tmp_path, before, after):
    def body():
        with dsl.If(step().output == "x"):
            declares_what_is_not_here()

    text = compiled(tmp_path, body)
    assert before in text
    with pytest.raises(SandboxError):
        check(text.replace(before, after, 1))
