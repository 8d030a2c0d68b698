"""The edits that an attendee makes, as code: for the demonstration, for solutions and for the tests of both."""

import json
import re
from pathlib import Path

from jukebox_helpers.errors import JukeboxError

FETCH_FROM_DVC = """\
    fetch_task = fetch_data_from_dvc(cluster_domain=cluster_domain, git_version=version)
    kubernetes.use_field_path_as_env(
        fetch_task,
        env_name='namespace',
        field_path='metadata.namespace'
    )
    kubernetes.use_secret_as_env(
        fetch_task,
        secret_name='aws-connection-data',
        secret_key_to_env={
            'AWS_S3_ENDPOINT': 'AWS_S3_ENDPOINT',
            'AWS_ACCESS_KEY_ID': 'AWS_ACCESS_KEY_ID',
            'AWS_SECRET_ACCESS_KEY': 'AWS_SECRET_ACCESS_KEY',
            'AWS_S3_BUCKET': 'AWS_S3_BUCKET',
        },
    )
    kubernetes.use_secret_as_env(
        fetch_task,
        secret_name='git-auth',
        secret_key_to_env={
            'username': 'username',
            'password': 'password',
        },
    )
"""
"""What the attendee pastes under the grapes: the training fetches its data with DVC."""


STARTER = "    fetch_task = fetch_data()\n"
PLACE = "    ### 🍇 Fetches data from DVC\n"


def is_starter(text: str) -> bool:
    """Whether the text of ``prod_train_save_pipeline.py`` is as it was shipped, in both places of the exercise."""
    return STARTER in text and not fetches_with_dvc(text)


def fetches_with_dvc(text: str) -> bool:
    """Whether the text of the training pipeline calls the fetch that reads a data version."""
    return bool(re.search(r"^\s+fetch_task = fetch_data_from_dvc\(", text, re.MULTILINE))


def train_on_versioned_data(pipeline_file: Path) -> bool:
    """Do the exercise in ``prod_train_save_pipeline.py``: comment one fetch out, paste the other in.

    Returns whether the file changed: not if the exercise is done already. A `JukeboxError` says that the places to edit
    are not there.
    """
    text = pipeline_file.read_text()
    if fetches_with_dvc(text):
        return False
    if STARTER not in text or PLACE not in text:
        raise JukeboxError(
            f"{pipeline_file} has no {STARTER.strip()!r} or no {PLACE.strip()!r} to edit.",
            "Restore the file from the first commit of the workshop: git checkout <revision> -- <file>.",
        )
    text = text.replace(STARTER, STARTER.replace("fetch_task", "# fetch_task"))
    pipeline_file.write_text(text.replace(PLACE, PLACE + FETCH_FROM_DVC))
    return True


def add_buckets(config_file: Path, names: list[str]) -> bool:
    """Add buckets to ``toolings/minio/config.yaml`` of ``mlops-gitops``, and return whether the file changed."""
    text = config_file.read_text()
    missing = [name for name in names if not re.search(rf"^\s*- name: {re.escape(name)}\s*$", text, re.MULTILINE)]
    config_file.write_text(text.rstrip("\n") + "\n" + "".join(f"  - name: {name}\n" for name in missing))
    return bool(missing)


def name_rankings(parameters_file: Path, source: str) -> None:
    """Say in ``default_parameters.json`` where the next rankings are: ``s3://…``, ``https://…`` or ``sample``."""
    parameters = json.loads(parameters_file.read_text())
    parameters_file.write_text(json.dumps(parameters | {"rankings": source}, indent=2) + "\n")
