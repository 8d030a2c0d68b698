"""A small pipeline: a step with a Secret and a field path, one that can fail, one behind both."""

from kfp import dsl, kubernetes

SECRET_VALUE = "s3cr3t-of-the-test"


@dsl.component(base_image="python:3.12")
def show_environment(text: str, found: dsl.Output[dsl.Artifact]):
    """Write the environment down."""
    import json
    import os

    found.metadata["text"] = text
    with open(found.path, "w") as file:
        json.dump(dict(os.environ), file)


@dsl.component(base_image="python:3.12")
def fail_if(numbers: dict, found: dsl.Input[dsl.Artifact]):
    """Fail when told to."""
    if numbers.get("fail"):
        raise ValueError("the numbers are wrong.\nTwo lines say so. Next: mend them.")


@dsl.component(base_image="python:3.12")
def after_all(found: dsl.Input[dsl.Artifact]):
    """Run last."""
    print("after all")


@dsl.pipeline(name="a-pipeline")
def a_pipeline(text: str, numbers: dict = {"epochs": 2}):  # noqa: B006
    """Two steps, the first with a secret and a field path."""
    first = show_environment(text=text)
    kubernetes.use_secret_as_env(first, secret_name="a-secret", secret_key_to_env={"key": "VARIABLE"})
    kubernetes.use_field_path_as_env(first, env_name="namespace", field_path="metadata.namespace")
    second = fail_if(numbers=numbers, found=first.outputs["found"])
    after_all(found=first.outputs["found"]).after(second)
