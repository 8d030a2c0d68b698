"""The sandbox's model registry: MLflow on a SQLite file.

MLflow's client writes, plain SQL reads: the client takes seconds to import, and readers need two of its tables.
"""

from contextlib import contextmanager
from typing import TYPE_CHECKING

from jukebox_helpers.steps.registry_records import check_registration, same_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from mlflow.tracking import MlflowClient

    from jukebox_helpers.steps.registry_records import Record


def mlflow_client(tracking_uri: str) -> "MlflowClient":
    """MLflow's client of a SQLite file; it makes the tables of a new one.

    Args:
        tracking_uri: ``sqlite:///<path>``.

    Returns:
        The client, which tells nobody that it is used.
    """
    import logging
    import os

    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


class MlflowReader:
    """Reads the registry. Our version is the tag ``version``; MLflow's own numbers only give the order."""

    def __init__(self, tracking_uri: str) -> None:
        """Open the registry, with no server in the way.

        Args:
            tracking_uri: ``sqlite:///<path>``; the file is made by the first registration.

        Raises:
            FileNotFoundError: If the file's folder does not exist.
            ValueError: If the address is not that of a SQLite file.
        """
        from pathlib import Path

        if not tracking_uri.startswith("sqlite:///"):
            raise ValueError(f"MLFLOW_TRACKING_URI is {tracking_uri!r}. Next: set it to sqlite:///<path of a file>.")
        self.tracking_uri, self.database = tracking_uri, Path(tracking_uri.removeprefix("sqlite:///")).absolute()
        if not self.database.parent.is_dir():
            raise FileNotFoundError(
                f"The model registry's folder {self.database.parent} does not exist. Next: run ./jukebox up."
            )

    def ask(self, question: str, *values: str) -> "list[tuple[Any, ...]]":
        """The rows that a query gives; none where nothing was registered yet."""
        import sqlite3
        from contextlib import closing

        if not self.database.is_file():
            return []
        # rw makes no file, and may roll back what a dead writer left half done.
        with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=rw", uri=True, timeout=30)) as connection:
            try:
                return connection.execute(question, values).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):  # the first registration is just making them
                    return []
                raise

    def numbered(self, name: str) -> "dict[int, Record]":
        """The records of a model by MLflow's numbers, oldest first. One statement: it sees all of a version."""
        import json
        from datetime import UTC, datetime

        found: dict[int, Record] = {}
        for number, uri, milliseconds, key, value in self.ask(
            "SELECT version, source, creation_time, key, value "
            "FROM model_versions JOIN model_version_tags USING (name, version) "
            "WHERE name = ? AND current_stage <> 'Deleted_Internal' ORDER BY version, key",
            name,
        ):
            created_at = datetime.fromtimestamp(milliseconds // 1000, UTC).isoformat()
            new: Record = {"name": name, "version": "", "uri": uri, "metadata": {}, "created_at": created_at,
                           "production": False}  # fmt: skip
            found.setdefault(number, new)["metadata"][key] = value
        # What others put into the database by MLflow's own means is not ours.
        ours = {number: record for number, record in found.items() if "version" in record["metadata"]}
        for record in ours.values():
            record["version"] = record["metadata"].pop("version")
            record["metadata"] = {key: json.loads(value) for key, value in record["metadata"].items()}
            record["production"] = record["metadata"].pop("prod")
        return ours

    def find(self, name: str, version: str) -> "Record | None":
        """See `ModelRegistry`."""
        return next((record for record in self.versions(name) if record["version"] == version), None)

    def models(self) -> list[str]:
        """See `ModelRegistry`."""
        return [name for (name,) in self.ask("SELECT name FROM registered_models ORDER BY name")]

    def versions(self, name: str) -> "list[Record]":
        """See `ModelRegistry`."""
        return list(self.numbered(name).values())

    def latest(self, name: str) -> "Record | None":
        """See `ModelRegistry`."""
        return next(reversed(self.versions(name)), None)

    def production(self, name: str) -> "Record | None":
        """See `ModelRegistry`."""
        return next((record for record in reversed(self.versions(name)) if record["production"]), None)


class MlflowRegistry(MlflowReader):
    """Reads and writes the registry."""

    @contextmanager
    def one_at_a_time(self) -> "Iterator[None]":
        """Hold the registry's lock: MLflow numbers versions itself, so nothing in the database keeps ours unique."""
        import fcntl

        with open(f"{self.database}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def register(
        self, name: str, version: str, uri: str, metadata: "dict[str, Any]", production: bool = False
    ) -> "Record":
        """See `ModelRegistry`."""
        check_registration(name, version, uri, metadata)
        with self.one_at_a_time():
            return self.register_alone(name, version, uri, metadata, production)

    def register_alone(
        self, name: str, version: str, uri: str, metadata: "dict[str, Any]", production: bool
    ) -> "Record":
        """Register a version while nobody else does."""
        import json

        for number, existing in self.numbered(name).items():
            if existing["version"] == version and same_model(existing, metadata):
                if production and not existing["production"]:
                    mlflow_client(self.tracking_uri).set_model_version_tag(name, str(number), "prod", "true")
                    existing["production"] = True
                return existing
        client = mlflow_client(self.tracking_uri)
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        tags = {key: json.dumps(value, ensure_ascii=False) for key, value in metadata.items()}
        tags |= {"version": version, "prod": json.dumps(production)}
        # One call, one transaction: a version without its metadata is never seen.
        try:
            made = client.create_model_version(name, uri, tags=tags)
        except MlflowException as error:
            raise RuntimeError(
                f"MLflow did not register {name} {version} in {self.database}: {error} "
                "Next: see that the disk has space and that this user may write the file, then run this again."
            ) from error
        return self.numbered(name)[int(made.version)]
