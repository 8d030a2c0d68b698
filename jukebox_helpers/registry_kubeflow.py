"""OpenShift AI's model registry: the Kubeflow Model Registry, API ``v1alpha3``.

``kubeflow_registry`` travels into pipeline steps. Only plain functions travel, so the adapter is a class inside
the function that returns an instance of it.
"""

from jukebox_helpers.registry_records import ModelRegistry, check_registration, same_model


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

        def models(self) -> list[str]:
            pages = ask(self.client.get_registered_models)
            return sorted(model.name for model in ask(list, pages.page_size(100)))

        def versions(self, name: str) -> list[dict]:
            return list(self.newest_first(name))[::-1]

        def latest(self, name: str) -> dict | None:
            return next(self.newest_first(name), None)

        def production(self, name: str) -> dict | None:
            return next((record for record in self.newest_first(name) if record["production"]), None)

    return KubeflowRegistry()
