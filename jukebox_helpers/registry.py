"""The model registry: MLflow in the sandbox, Kubeflow's on OpenShift AI, behind one small interface.

These functions travel into pipeline steps: ``check_registration``, ``same_model``, ``mlflow_registry``,
``kubeflow_registry`` and ``open_registry``. Only plain functions travel, so each adapter is a class inside the
function that returns an instance of it. ``ModelRegistry`` documents what both answer to, and stays here.

A record is a dict: ``name``, ``version`` (10 characters of the git revision), ``uri`` of the ONNX file,
``metadata`` (flat, scalar values), ``created_at`` (ISO 8601, UTC) and ``production`` (bool).
"""

from typing import Protocol


class ModelRegistry(Protocol):
    """Registered models and their versions."""

    def register(self, name: str, version: str, uri: str, metadata: dict, production: bool = False) -> dict:
        """Register a model version, whole or not at all; the same model again gives the existing record."""

    def find(self, name: str, version: str) -> dict | None:
        """One model version."""

    def versions(self, name: str) -> list[dict]:
        """All versions of a model, oldest first; none if the model is unknown."""

    def latest(self, name: str) -> dict | None:
        """The version registered last."""

    def production(self, name: str) -> dict | None:
        """The version registered last among those that were registered for production."""


def check_registration(name: str, version: str, uri: str, metadata: dict) -> None:
    """Refuse what either registry could not keep, before anything is written.

    Args:
        name: The registered model.
        version: The model version.
        uri: Where the ONNX file is, an ``s3://`` URI.
        metadata: Its provenance.

    Raises:
        ValueError: If a part is missing, too long or not of a kind that both registries keep.
    """
    import math
    import re

    for what, value in (("model name", name), ("model version", version)):
        if not re.fullmatch(r"[\w.-]{1,100}", value):
            raise ValueError(
                f"The {what} {value!r} cannot be registered. Next: use 1 to 100 letters, digits, dots, hyphens "
                "and underscores."
            )
    if not uri.startswith("s3://"):
        raise ValueError(f"The model's address {uri!r} is no S3 URI. Next: upload it and give s3://<bucket>/<key>.")
    if not metadata.get("model sha256"):
        raise ValueError(
            f"{name} {version} has no 'model sha256' in its metadata, so nobody could tell which bytes it is. "
            "Next: add the SHA-256 of the ONNX file."
        )
    for key, value in metadata.items():
        problem = ""
        if not re.fullmatch(r"[\w./ -]{1,100}", key):
            problem = "has a name that a registry refuses. Next: use letters, digits, spaces, dots and hyphens"
        elif key in ("prod", "version"):
            problem = "is reserved. Next: choose another name for it"
        elif not isinstance(value, (str, int, float)):
            problem = f"is a {type(value).__name__}. Next: give a str, int, float or bool; JSON text for the rest"
        elif isinstance(value, float) and not math.isfinite(value):
            problem = f"is {value}. Next: give a finite number, or leave it out"
        elif len(str(value)) > 5000:
            problem = f"is {len(str(value))} characters long. Next: keep it to 5000, the whole in a file on S3"
        if problem:
            raise ValueError(f"Metadata {key!r} of {name} {version} {problem}.")


def same_model(existing: dict, metadata: dict) -> bool:
    """Tell whether a registered version is the model that is being registered again.

    Args:
        existing: The record of the version in the registry.
        metadata: The provenance of the model at hand.

    Returns:
        True; another model does not come back.

    Raises:
        ValueError: If the version holds another model.
    """
    known, new = existing["metadata"].get("model sha256"), metadata["model sha256"]
    if known != new:
        raise ValueError(
            f"{existing['name']} {existing['version']} already exists in the registry with another model: "
            f"its SHA-256 is {known or 'not recorded'}, this one's is {new}. A model version never changes. "
            "Next: commit the change and train from the new revision."
        )
    return True


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
            self.client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)

        @contextmanager
        def one_at_a_time(self) -> Iterator[None]:
            # MLflow numbers versions itself, so nothing in the database keeps our version unique.
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
            return self.record(self.client.create_model_version(name, uri, tags=tags))

        def search(self, name: str) -> list:
            found = self.client.search_model_versions(f"""name="{name.replace('"', "")}" """)
            return sorted((m for m in found if "version" in m.tags), key=lambda m: int(m.version))

        def record(self, found: "mlflow.entities.ModelVersion") -> dict:  # type: ignore[name-defined] # noqa: F821
            tags = dict(found.tags)
            version, production = tags.pop("version"), json.loads(tags.pop("prod"))
            created_at = datetime.fromtimestamp(found.creation_timestamp // 1000, UTC).isoformat()
            metadata = {key: json.loads(value) for key, value in tags.items()}
            return {"name": found.name, "version": version, "uri": found.source, "metadata": metadata,
                    "created_at": created_at, "production": production}  # fmt: skip

        def find(self, name: str, version: str) -> dict | None:
            return next((record for record in self.versions(name) if record["version"] == version), None)

        def versions(self, name: str) -> list[dict]:
            return [self.record(found) for found in self.search(name)]

        def latest(self, name: str) -> dict | None:
            return next(reversed(self.versions(name)), None)

        def production(self, name: str) -> dict | None:
            return next((record for record in reversed(self.versions(name)) if record["production"]), None)

    return MlflowRegistry()


def kubeflow_registry(url: str, token: str = "", certificate_authority: str = "") -> "ModelRegistry":
    """Open the Kubeflow Model Registry of OpenShift AI (API ``v1alpha3``).

    Args:
        url: Its address, e.g. ``https://user1-registry-rest.apps.example.com``.
        token: A bearer token; empty means the service account's, where there is one.
        certificate_authority: PEM file with the CA of the registry's certificate; empty means the system's.

    Returns:
        The registry. Its version's property ``prod`` marks production.

    Raises:
        FileNotFoundError: If the CA file does not exist.
        PermissionError: If the registry refuses the token.
        RuntimeError: If the registry cannot be reached, is not trusted, or speaks another API.
    """
    import asyncio
    import json
    import logging
    import os
    from collections.abc import Callable, Coroutine, Iterator
    from concurrent.futures import ThreadPoolExecutor
    from datetime import UTC, datetime
    from pathlib import Path
    from typing import Any

    import aiohttp
    import model_registry
    from model_registry.exceptions import StoreError
    from mr_openapi import exceptions as answers
    from pydantic import ValidationError

    if certificate_authority and not Path(certificate_authority).is_file():
        raise FileNotFoundError(
            f"The certificate authority's file {certificate_authority} does not exist. "
            "Next: give the PEM file of the cluster's CA, or none for the system's."
        )
    service_account = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    token_file = Path(os.environ.get("KF_PIPELINES_SA_TOKEN_PATH", service_account))
    if not token and token_file.is_file():
        token = token_file.read_text()
    token = token.strip()

    def run(coroutine: Coroutine) -> Any:
        # A thread has no event loop of its own yet, a notebook has; the client's own way patches asyncio.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, asyncio.wait_for(coroutine, 60)).result()

    def ask(call: Callable, *arguments: Any, **options: Any) -> Any:
        try:
            return call(*arguments, **options)
        except (answers.UnauthorizedException, answers.ForbiddenException) as error:
            sent = "the token, which may have expired" if token else "a request without a token"
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
                "Next: give the PEM file of the cluster's certificate authority (SSL_CERT_FILE)."
            ) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RuntimeError(
                f"The model registry at {url} cannot be reached ({error or 'no answer within 60 s'}). "
                "Next: check the cluster domain, and that the registry is running."
            ) from None
        except answers.ConflictException:
            raise
        except answers.ApiException as error:
            said = getattr(error.data, "message", "") or error.reason
            raise RuntimeError(
                f"The model registry at {url} answered {error.status}: {said}. "
                "Next: look at the registry's log, then run this again."
            ) from error

    class KubeflowRegistry:
        def __init__(self) -> None:
            # The client refuses HTTPS without a token, and its other mode checks no certificate. A registry that
            # asks for no token ignores this one.
            self.client = ask(
                model_registry.ModelRegistry, url, author="jukebox", user_token=token or "none",
                custom_ca=certificate_authority or None, log_level=logging.ERROR, async_runner=run,
            )  # fmt: skip

        def register(self, name: str, version: str, uri: str, metadata: dict, production: bool = False) -> dict:
            check_registration(name, version, uri, metadata)
            properties = metadata | ({"prod": True} if production else {})
            for _ in range(3):
                found = self.version(name, version)
                if found:
                    return self.complete(name, found, uri, metadata, production)
                try:
                    ask(self.client.register_model, name, uri, version=version, metadata=properties,
                        model_format_name="onnx", model_format_version="1")  # fmt: skip
                except (answers.ConflictException, StoreError):
                    continue  # somebody else was faster: what they registered is the answer
            raise RuntimeError(f"{name} {version} is being registered by another run. Next: run this again.")

        def complete(self, name: str, found: Any, uri: str, metadata: dict, production: bool) -> dict:
            record = self.record(name, found, uri)
            same_model(record, metadata)
            if ask(self.client.get_model_artifact, name, found.name) is None:
                # An earlier attempt died after the version and before its file; no public call adds a file.
                add = self.client._register_model_artifact
                kind = {"model_format_name": "onnx", "model_format_version": "1"}
                ask(lambda: run(add(found, name, uri, **kind)))
            if production and not record["production"]:
                found.custom_properties = record["metadata"] | {"prod": True}
                ask(self.client.update, found)
            return self.find(name, found.name) or record

        def version(self, name: str, version: str) -> Any:
            known = ask(self.client.get_registered_model, name)
            return ask(self.client.get_model_version, name, version) if known else None

        def record(self, name: str, found: Any, uri: str) -> dict:
            # The server writes 1.0 as 1, and the client reads that as an integer.
            metadata = {key: float(value) if key.startswith("metric.") and isinstance(value, int) else value
                        for key, value in (found.custom_properties or {}).items()}  # fmt: skip
            production = metadata.pop("prod", False) in (True, "true")
            created_at = datetime.fromtimestamp(int(found.create_time_since_epoch) // 1000, UTC).isoformat()
            return {"name": name, "version": found.name, "uri": uri, "metadata": metadata,
                    "created_at": created_at, "production": production}  # fmt: skip

        def newest_first(self, name: str) -> Iterator[dict]:
            if not ask(self.client.get_registered_model, name):
                return
            pages = ask(self.client.get_model_versions, name)
            found = ask(list, pages.page_size(100))
            for version in sorted(found, key=lambda version: int(version.id), reverse=True):
                artifact = ask(self.client.get_model_artifact, name, version.name)
                if artifact:  # without its file it is half registered, and nobody's answer
                    yield self.record(name, version, artifact.uri)

        def find(self, name: str, version: str) -> dict | None:
            found = self.version(name, version)
            artifact = ask(self.client.get_model_artifact, name, version) if found else None
            return self.record(name, found, artifact.uri) if artifact else None

        def versions(self, name: str) -> list[dict]:
            return list(self.newest_first(name))[::-1]

        def latest(self, name: str) -> dict | None:
            return next(self.newest_first(name), None)

        def production(self, name: str) -> dict | None:
            return next((record for record in self.newest_first(name) if record["production"]), None)

    return KubeflowRegistry()


def open_registry(cluster_domain: str, namespace: str, prod_flag: bool = False) -> "ModelRegistry":
    """Open this platform's model registry.

    Args:
        cluster_domain: ``apps.<cluster>``, or the sandbox's base URL.
        namespace: The data science project; the user is what stands before its first hyphen.
        prod_flag: Use the registry of production; the sandbox has one registry for both.

    Returns:
        MLflow's where ``MLFLOW_TRACKING_URI`` is set (the sandbox), Kubeflow's otherwise.

    Raises:
        ValueError: If no registry can be derived from these.
    """
    import os

    tracking_uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if tracking_uri:
        return mlflow_registry(tracking_uri)
    user = namespace.split("-")[0]
    if not user or not cluster_domain or "://" in cluster_domain:
        raise ValueError(
            f"No model registry follows from cluster_domain {cluster_domain!r} and namespace {namespace!r}. Next: "
            "give apps.<cluster> and the project's name; in the sandbox, set MLFLOW_TRACKING_URI."
        )
    return kubeflow_registry(f"https://{user}-{'prod-' if prod_flag else ''}registry-rest.{cluster_domain}")
