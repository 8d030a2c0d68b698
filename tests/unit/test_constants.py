"""The names that several modules share agree with each other and with what they name."""

import json

import yaml

from jukebox_helpers.settings import DEFAULT_PARAMETERS, KIT
from jukebox_helpers.steps import constants


def test_names_that_hold_others_agree() -> None:
    assert f"s3://{constants.DATA_BUCKET}/{constants.SONGS_OBJECT}" == constants.SONGS_ADDRESS
    assert f"s3://{constants.DATA_BUCKET}/{constants.RANKINGS_OBJECT}" == constants.RANKINGS_ADDRESS
    assert f"s3://{constants.DATA_BUCKET}/{constants.INCOMING_OBJECT}" == constants.INCOMING_ADDRESS
    assert f"{constants.SONGS_OBJECT}.dvc" == constants.VERSION_FILE
    assert list(constants.REMOTES.values()) == [f"s3://{constants.CACHE_BUCKET}", f"s3://{constants.DATA_BUCKET}"]
    assert f"remote://{list(constants.REMOTES)[1]}/{constants.SONGS_OBJECT}" == constants.SOURCE_ADDRESS
    assert (constants.DATA_BUCKET, constants.CACHE_BUCKET) == constants.WANTED_BUCKETS
    assert set(constants.CONNECTION_KEYS) == {*constants.S3_KEYS, "AWS_DEFAULT_REGION"}


def test_they_are_the_names_of_what_is_shipped() -> None:
    notebooks = sorted(file.name.split("-")[0] for file in (KIT / "notebooks").glob("[0-9]-*.ipynb"))
    assert notebooks == [str(number) for number in range(constants.NOTEBOOK_COUNT)]
    assert KIT / constants.PARAMETERS_FILE == KIT / DEFAULT_PARAMETERS
    assert json.loads((KIT / DEFAULT_PARAMETERS).read_text())["model_name"] == constants.MODEL
    compiled = (KIT / "5-data-versioning" / "song-properties-etl.yaml").read_text()
    platform = list(yaml.safe_load_all(compiled))[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    secrets = {
        secret["secretName"]: tuple(key["secretKey"] for key in secret["keyToEnv"])
        for executor in platform.values()
        for secret in executor["secretAsEnv"]
    }
    connection = f"{constants.CONNECTION}{constants.DATA_BUCKET}"
    assert secrets == {connection: constants.S3_KEYS, constants.GIT_SECRET: constants.GIT_KEYS}
