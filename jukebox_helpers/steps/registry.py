"""The model registry: the Kubeflow Model Registry, API ``v1alpha3``, in the sandbox as on OpenShift AI.

A step that only reads opens a `RegistryReader`, and carries nothing of registering.
"""

import os
import time
from typing import TYPE_CHECKING, TypeVar

from jukebox_helpers.steps.registry_errors import Unavailable, registry_error
from jukebox_helpers.steps.registry_records import check_registration, same_model

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Any

    from model_registry.types import ListOptions, ModelArtifact, ModelVersion, RegisteredModel

    from jukebox_helpers.steps.registry_records import Record

    T = TypeVar("T")


def open_registry(cluster_domain: str, namespace: str, prod_flag: bool = False, token: str = "") -> "ModelRegistry":
    """Open this platform's model registry.

    Args:
        cluster_domain: ``apps.<cluster>``, or the sandbox's base URL.
        namespace: The data science project; the user is what comes before its first hyphen.
        prod_flag: Use the registry of production; the sandbox has one registry for both.
        token: The bearer token; empty means the service account's.

    Raises:
        ValueError: If no address can be derived from these.
        PermissionError: If the registry refuses the token.
        RuntimeError: If it cannot be reached, is not trusted, or is none.
    """
    return ModelRegistry(registry_address(cluster_domain, namespace, prod_flag), token)


def registry_address(cluster_domain: str, namespace: str, prod_flag: bool) -> str:
    """The address of the registry; see `open_registry`."""
    if cluster_domain.startswith(("http://", "https://")):
        return cluster_domain.rstrip("/")
    user = namespace.split("-")[0]
    if not user or not cluster_domain or "://" in cluster_domain:
        raise ValueError(
            f"No model registry follows from {cluster_domain!r} and {namespace!r}. "
            "Next: give apps.<cluster> and the project's name."
        )
    return f"https://{user}-{'prod-' if prod_flag else ''}registry-rest.{cluster_domain}"


class RegistryReader:
    """Reads the registry. A version's property ``prod`` marks production.

    The server looks names up with LIKE (_ is any character, and of two matches it answers none), so lists are read
    and names compared here.
    """

    def __init__(self, url: str, token: str = "") -> None:
        """Open the registry at an address; the rest is as in `open_registry`.

        A wrong address or token is said now, not at the first question. The client's own front end patches asyncio,
        refuses HTTPS without a token, and asks three times for a file.
        """
        from pathlib import Path

        from model_registry.core import ModelRegistryAPIClient
        from model_registry.types import ListOptions

        service_account = "/var/run/secrets/kubernetes.io/serviceaccount/token"
        file = Path(os.environ.get("KF_PIPELINES_SA_TOKEN_PATH", service_account))
        self.url, self.token = url, (token or (file.read_text() if file.is_file() else "")).strip()
        port = 80 if url.startswith("http://") else 443
        self.api = ModelRegistryAPIClient.secure_connection(url, port, user_token=self.token or None)
        self.ask(self.api.get_registered_models(ListOptions(limit=1)))

    def ask(self, question: "Coroutine[Any, Any, T]") -> "T":
        """Send a request, and wait for its answer.

        Errors are said in the words of somebody who can fix them. A notebook's thread already runs an event loop; a
        new thread has none.
        """
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        try:
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(asyncio.run, asyncio.wait_for(question, 60)).result()
        except Exception as error:
            raise registry_error(error, self.url, bool(self.token)) from None

    def all(self, page: "Callable[[ListOptions], Coroutine[Any, Any, list[T]]]") -> "list[T]":
        """What is on all pages of a list."""
        from model_registry.types import ListOptions

        options, found = ListOptions(limit=100), []
        while True:
            found += self.ask(page(options))
            if not options.next_page_token:
                return found

    def named(self, name: str, found: "list[Any]") -> "Any":
        """The resource of a name."""
        return next((one for one in found if one.name == name), None)

    def model(self, name: str) -> "RegisteredModel | None":
        """A registered model."""
        return self.named(name, self.all(self.api.get_registered_models))

    def model_versions(self, model: "RegisteredModel | None") -> "list[ModelVersion]":
        """The versions of a model, the newest first."""
        found = self.all(lambda options: self.api.get_model_versions(str(model.id), options)) if model else []
        return sorted(found, key=lambda version: int(version.id or 0), reverse=True)

    def artifact(self, name: str, version: "ModelVersion") -> "ModelArtifact | None":
        """The file of a version."""
        return self.named(name, self.all(lambda options: self.api.get_model_artifacts(str(version.id), options)))

    def newest_first(self, name: str) -> "Iterator[tuple[ModelVersion, ModelArtifact]]":
        """The versions of a model and their files.

        A version without one is half registered, an archived one is put away: both are nobody's answer.
        """
        for version in self.model_versions(self.model(name)):
            if version.state == "LIVE" and (artifact := self.artifact(name, version)):
                yield version, artifact


class ModelRegistry(RegistryReader):
    """Reads and writes the registry."""

    def record(self, name: str, found: "ModelVersion", uri: str) -> "Record":
        """The record of a version.

        The server writes 1.0 as 1, and the client reads that as an integer.
        """
        from datetime import UTC, datetime

        metadata = {
            key: float(value) if key.startswith("metric.") and isinstance(value, int) else value
            for key, value in (found.custom_properties or {}).items()
        }
        production = metadata.pop("prod", False) in (True, "true")
        created_at = datetime.fromtimestamp(int(found.create_time_since_epoch or 0) // 1000, UTC).isoformat()
        return {"name": name, "version": found.name, "uri": uri, "metadata": metadata, "created_at": created_at,
                "production": production}  # fmt: skip

    def records(self, name: str) -> "Iterator[Record]":
        """The records of a model, the newest first."""
        return (self.record(name, version, file.uri) for version, file in self.newest_first(name))

    def versions(self, name: str) -> "list[Record]":
        """All versions of a model, oldest first; none if the model is unknown."""
        return list(self.records(name))[::-1]

    def find(self, name: str, version: str) -> "Record | None":
        """One model version."""
        found = self.named(version, self.model_versions(self.model(name)))
        artifact = self.artifact(name, found) if found else None
        return self.record(name, found, artifact.uri) if artifact else None

    def register(
        self, name: str, version: str, uri: str, metadata: "dict[str, Any]", production: bool = False
    ) -> "Record":
        """Register a model version; the same model again gives the existing record.

        An attempt that died half way is finished by the next one: until then nobody finds the version. Here it is
        made where somebody else made one of the three parts first, or the registry failed for a moment.
        """
        check_registration(name, version, uri, metadata)
        for pause in (0.2, 1.0, 3.0):
            try:
                return self.complete(name, version, uri, metadata, production)
            except (FileExistsError, Unavailable):
                time.sleep(pause)
        return self.complete(name, version, uri, metadata, production)

    def complete(self, name: str, version: str, uri: str, metadata: "dict[str, Any]", production: bool) -> "Record":
        """Make what is not there yet."""
        from model_registry.types import ModelArtifact, ModelVersion, RegisteredModel

        api, ask = self.api, self.ask
        model = self.model(name) or RegisteredModel(name=name, owner="jukebox", state="ARCHIVED")
        if model.state == "ARCHIVED":  # or not there yet
            model.state = "LIVE"
            model = ask(api.upsert_registered_model(model))
        found = self.named(version, self.model_versions(model))
        if found:
            same_model(self.record(name, found, uri), metadata)
        else:
            properties = metadata | ({"prod": True} if production else {})
            new = ModelVersion(name=version, author="jukebox", custom_properties=properties)
            found = ask(api.upsert_model_version(new, str(model.id)))
        artifact = self.artifact(name, found)
        if not artifact:
            file = ModelArtifact(name=name, uri=uri, model_format_name="onnx", model_format_version="1")
            artifact = ask(api.upsert_model_version_artifact(file, str(found.id)))
        record = self.record(name, found, artifact.uri)
        if production and not record["production"]:
            found.custom_properties = record["metadata"] | {"prod": True}
            ask(api.upsert_model_version(found))
            record["production"] = True
        return record
