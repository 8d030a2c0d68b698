"""OpenShift AI's model registry: the Kubeflow Model Registry, API ``v1alpha3``."""

from typing import TYPE_CHECKING, TypeVar

from jukebox_helpers.steps.registry_records import check_registration, same_model

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Any

    from model_registry.types import ListOptions, ModelArtifact, ModelVersion, RegisteredModel

    from jukebox_helpers.steps.registry_records import Record

    T = TypeVar("T")


class KubeflowReader:
    """Reads the registry. A version's property ``prod`` marks production."""

    def __init__(self, url: str, token: str = "", certificate_authority: str = "") -> None:
        """Open the registry.

        Args:
            url: Its address, e.g. ``https://user1-registry-rest.apps.example.com``.
            token: A bearer token; empty means the service account's, where there is one.
            certificate_authority: PEM file with the CA of the registry's certificate; empty means the system's.

        Raises:
            FileNotFoundError: If the CA file does not exist.
            PermissionError: If the registry refuses the token.
            RuntimeError: If the registry cannot be reached, is not trusted, or speaks another API.
        """
        import os
        from pathlib import Path

        from model_registry.core import ModelRegistryAPIClient
        from model_registry.types import ListOptions

        if certificate_authority and not Path(certificate_authority).is_file():
            raise FileNotFoundError(
                f"The certificate authority's file {certificate_authority} does not exist. "
                "Next: give the PEM file of the cluster's CA, or none for the system's."
            )
        service_account = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
        token_file = Path(os.environ.get("KF_PIPELINES_SA_TOKEN_PATH", service_account))
        if not token and token_file.is_file():
            token = token_file.read_text()
        self.url, self.token = url, token.strip()
        # The client's own front end patches asyncio, refuses HTTPS without a token, and asks three times for a file.
        self.api = ModelRegistryAPIClient.secure_connection(
            url,
            80 if url.startswith("http://") else 443,
            user_token=self.token or None,
            custom_ca=certificate_authority or None,
        )
        self.ask(self.api.get_registered_models(ListOptions(limit=1)))  # a wrong address or token is said now

    def ask(self, question: "Coroutine[Any, Any, T]") -> "T":
        """Send a request, and wait for its answer; errors are said in the words of somebody who can fix them."""
        import asyncio
        import json
        from concurrent.futures import ThreadPoolExecutor

        import aiohttp
        from mr_openapi import exceptions as answers
        from pydantic import ValidationError

        url = self.url
        try:
            # A notebook's thread already runs an event loop; a new thread has none.
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(asyncio.run, asyncio.wait_for(question, 60)).result()
        except (answers.UnauthorizedException, answers.ForbiddenException) as error:
            sent = "the token, which may have expired" if self.token else "a request without a token"
            raise PermissionError(
                f"The model registry at {url} refused {sent} ({error.status}). "
                "Next: get a fresh token (oc whoami --show-token), or ask for access to this registry."
            ) from None
        except answers.NotFoundException:
            raise RuntimeError(
                f"There is no model registry with API v1alpha3 at {url} (404): another address, or a registry of "
                "another API version. Next: check the cluster domain; if it is right, install the model-registry "
                "client that its version of OpenShift AI documents."
            ) from None
        except (ValidationError, json.JSONDecodeError):
            raise RuntimeError(
                f"{url} answered with something that is no model registry's answer, e.g. a login page. "
                "Next: check the cluster domain, and that the address is the registry's REST route."
            ) from None
        except aiohttp.ClientSSLError as error:
            raise RuntimeError(
                f"The certificate of the model registry at {url} is not trusted ({error}). "
                "Next: name the PEM file with the cluster's CA in the variable SSL_CERT_FILE."
            ) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RuntimeError(
                f"The model registry at {url} cannot be reached ({error or 'no answer within 60 s'}). "
                "Next: check the cluster domain, and that the registry is running."
            ) from None
        except answers.ConflictException:
            raise
        except answers.ApiException as error:
            if "html" in str(error.headers):
                raise RuntimeError(
                    f"There is no model registry at {url}: a page answers ({error.status}). Next: check the cluster "
                    "domain; if it is right, ask for a model registry for this project."
                ) from None
            said = getattr(error.data, "message", "") or error.reason
            raise RuntimeError(
                f"The model registry at {url} answered {error.status}: {said}. "
                "Next: look at the registry's log, then run this again."
            ) from error

    def model(self, name: str) -> "RegisteredModel | None":
        """A registered model."""
        return self.ask(self.api.get_registered_model_by_params(name))

    def artifact(self, name: str, version: "ModelVersion") -> "ModelArtifact | None":
        """The file of a version."""
        return self.ask(self.api.get_model_artifact_by_params(name, version.id))

    def all(self, page: "Callable[[ListOptions], Coroutine[Any, Any, list[T]]]") -> "list[T]":
        """What stands on all pages of a list."""
        from model_registry.types import ListOptions

        options, found = ListOptions(limit=50), []
        while True:
            items = self.ask(page(options))
            found += items
            if len(items) < 50 or not options.next_page_token:
                return found

    def record(self, name: str, found: "ModelVersion", uri: str) -> "Record":
        """The record of a version."""
        from datetime import UTC, datetime

        # The server writes 1.0 as 1, and the client reads that as an integer.
        metadata = {
            key: float(value) if key.startswith("metric.") and isinstance(value, int) else value
            for key, value in (found.custom_properties or {}).items()
        }
        production = metadata.pop("prod", False) in (True, "true")
        return {
            "name": name,
            "version": found.name,
            "uri": uri,
            "metadata": metadata,
            "created_at": datetime.fromtimestamp(int(found.create_time_since_epoch or 0) // 1000, UTC).isoformat(),
            "production": production,
        }

    def newest_first(self, name: str) -> "Iterator[Record]":
        """The records of a model."""
        model = self.model(name)
        found = self.all(lambda options: self.api.get_model_versions(str(model.id), options)) if model else []
        for version in sorted(found, key=lambda version: int(version.id or 0), reverse=True):
            artifact = self.artifact(name, version)
            if artifact:  # without its file it is half registered, and nobody's answer
                yield self.record(name, version, artifact.uri)

    def find(self, name: str, version: str) -> "Record | None":
        """See `ModelRegistry`."""
        model = self.model(name)
        found = self.ask(self.api.get_model_version_by_params(str(model.id), version)) if model else None
        artifact = self.artifact(name, found) if found else None
        return self.record(name, found, artifact.uri) if found and artifact else None

    def models(self) -> list[str]:
        """See `ModelRegistry`."""
        return sorted(model.name for model in self.all(self.api.get_registered_models))

    def versions(self, name: str) -> "list[Record]":
        """See `ModelRegistry`."""
        return list(self.newest_first(name))[::-1]

    def latest(self, name: str) -> "Record | None":
        """See `ModelRegistry`."""
        return next(self.newest_first(name), None)

    def production(self, name: str) -> "Record | None":
        """See `ModelRegistry`."""
        return next((record for record in self.newest_first(name) if record["production"]), None)


class KubeflowRegistry(KubeflowReader):
    """Reads and writes the registry."""

    def register(
        self, name: str, version: str, uri: str, metadata: "dict[str, Any]", production: bool = False
    ) -> "Record":
        """See `ModelRegistry`."""
        from mr_openapi.exceptions import ConflictException

        check_registration(name, version, uri, metadata)
        for _ in ("model", "version", "file"):
            try:
                return self.complete(name, version, uri, metadata, production)
            except ConflictException:
                continue  # somebody else made one of the three first: go on from theirs
        return self.complete(name, version, uri, metadata, production)

    def complete(self, name: str, version: str, uri: str, metadata: "dict[str, Any]", production: bool) -> "Record":
        """Make what is not there yet: so an attempt that died half way is finished by the next one."""
        from model_registry.types import ModelArtifact, ModelVersion, RegisteredModel

        api, ask = self.api, self.ask
        model = self.model(name) or ask(api.upsert_registered_model(RegisteredModel(name=name, owner="jukebox")))
        found = ask(api.get_model_version_by_params(str(model.id), version))
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
