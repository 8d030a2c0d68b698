"""The sandbox's model registry: MLflow on a SQLite file.

``mlflow_registry`` travels into pipeline steps. Only plain functions travel, so the adapter is a class inside
the function that returns an instance of it.
"""

from jukebox_helpers.registry_records import ModelRegistry, check_registration, same_model


def mlflow_registry(tracking_uri: str) -> "ModelRegistry":
    """Open MLflow's model registry in a SQLite file, with no server in the way.

    Args:
        tracking_uri: ``sqlite:///<path>``; the file is made when it is missing.

    Returns:
        The registry. Our version is the tag ``version``; MLflow's own numbers only give the order.

    Raises:
        FileNotFoundError: If the file's folder does not exist.
        ValueError: If the address is not that of a SQLite file.
    """
    import fcntl
    import json
    import logging
    import os
    from collections.abc import Iterator
    from contextlib import contextmanager
    from datetime import UTC, datetime
    from typing import Any

    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    if not tracking_uri.startswith("sqlite:///"):
        raise ValueError(f"MLFLOW_TRACKING_URI is {tracking_uri!r}. Next: set it to sqlite:///<path of a file>.")
    database = tracking_uri.removeprefix("sqlite:///")
    folder = os.path.dirname(os.path.abspath(database))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"The model registry's folder {folder} does not exist. Next: run ./jukebox up.")

    class MlflowRegistry:
        def __init__(self) -> None:
            with self.one_at_a_time():  # the first one makes the tables
                self.client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)

        @contextmanager
        def one_at_a_time(self) -> Iterator[None]:
            # MLflow numbers versions itself, so nothing in the database keeps ours unique.
            with open(f"{database}.lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield

        def register(self, name: str, version: str, uri: str, metadata: dict, production: bool = False) -> dict:
            check_registration(name, version, uri, metadata)
            with self.one_at_a_time():
                return self.register_alone(name, version, uri, metadata, production)

        def register_alone(self, name: str, version: str, uri: str, metadata: dict, production: bool) -> dict:
            existing = self.find(name, version)
            if existing and same_model(existing, metadata):
                if production and not existing["production"]:
                    number = next(m.version for m in self.search(name) if m.tags["version"] == version)
                    self.client.set_model_version_tag(name, number, "prod", "true")
                    existing["production"] = True
                return existing
            try:
                self.client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            tags = {key: json.dumps(value, ensure_ascii=False) for key, value in metadata.items()}
            tags |= {"version": version, "prod": json.dumps(production)}
            # One call, one transaction: a version without its metadata is never seen.
            try:
                return self.record(self.client.create_model_version(name, uri, tags=tags))
            except MlflowException as error:
                raise RuntimeError(
                    f"MLflow did not register {name} {version} in {database}: {error} "
                    "Next: see that the disk has space and that this user may write the file, then run this again."
                ) from error

        def search(self, name: str) -> list:
            found = self.client.search_model_versions("name='" + name.replace("'", "") + "'")
            return sorted((m for m in found if "version" in m.tags), key=lambda m: int(m.version))

        def record(self, found: Any) -> dict:
            tags = dict(found.tags)
            version, production = tags.pop("version"), json.loads(tags.pop("prod"))
            created_at = datetime.fromtimestamp(found.creation_timestamp // 1000, UTC).isoformat()
            metadata = {key: json.loads(value) for key, value in tags.items()}
            return {"name": found.name, "version": version, "uri": found.source, "metadata": metadata,
                    "created_at": created_at, "production": production}  # fmt: skip

        def find(self, name: str, version: str) -> dict | None:
            return next((record for record in self.versions(name) if record["version"] == version), None)

        def models(self) -> list[str]:
            return sorted(model.name for model in self.client.search_registered_models())

        def versions(self, name: str) -> list[dict]:
            return [self.record(found) for found in self.search(name)]

        def latest(self, name: str) -> dict | None:
            return next(reversed(self.versions(name)), None)

        def production(self, name: str) -> dict | None:
            return next((record for record in reversed(self.versions(name)) if record["production"]), None)

    return MlflowRegistry()
