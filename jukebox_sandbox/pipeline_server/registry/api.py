"""The registry's addresses, as the client ``model-registry`` 0.3.14 calls them.

Experiments, inference services and ``filterQuery`` are not here: the answer is 501, and says so.
"""

import json
import sys
import traceback
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import mr_openapi
from flask import Blueprint, Response, request
from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException

from jukebox_sandbox.pipeline_server.registry import messages, resources
from jukebox_sandbox.pipeline_server.registry.resources import (
    ARTIFACTS,
    DOC_ARTIFACT,
    MODEL_ARTIFACT,
    MODEL_VERSION,
    REGISTERED_MODEL,
    Refused,
    Resource,
)
from jukebox_sandbox.pipeline_server.tables import Base

PREFIX = "/api/model_registry/v1alpha3"
BODY_LIMIT = 4 << 20
"""Bytes that a request may have."""

WHOLE: dict[str, Any] = {MODEL_ARTIFACT: mr_openapi.ModelArtifact, DOC_ARTIFACT: mr_openapi.DocArtifact}
UPDATES: dict[str, Any] = {
    REGISTERED_MODEL: mr_openapi.RegisteredModelUpdate,
    MODEL_VERSION: mr_openapi.ModelVersionUpdate,
    MODEL_ARTIFACT: mr_openapi.ModelArtifactUpdate,
    DOC_ARTIFACT: mr_openapi.DocArtifactUpdate,
}
NOT_HERE = ("experiment", "inference_service", "serving_environment")


def registry_blueprint(engine: Engine) -> Blueprint:
    """The Model Registry's REST API. It knows no users: put it behind the door.

    Args:
        engine: The database; the registry's table is made where there is none.

    Returns:
        The blueprint, at ``/api/model_registry/v1alpha3``. Errors are ``{"code", "message"}``, as the real server's.
        Source: https://github.com/kubeflow/model-registry/blob/main/api/openapi/model-registry.yaml
    """
    Base.metadata.create_all(engine)
    blueprint = Blueprint("model_registry", __name__, url_prefix=PREFIX)

    @blueprint.before_request
    def check_request() -> None:
        request.max_content_length = BODY_LIMIT
        asked = [*request.args.values(), request.get_data(as_text=True)]
        if any("\0" in text or "\\u0000" in text for text in asked):
            raise Refused(400, "null bytes are not allowed")

    @blueprint.errorhandler(Exception)
    def refuse(error: Exception) -> Response:
        if isinstance(error, (Refused, HTTPException)):
            status = error.status if isinstance(error, Refused) else error.code or 500
            return respond({"code": phrase(status), "message": str(error)}, status)
        traceback.print_exception(error, file=sys.stderr)
        what = str(error.orig) if isinstance(error, OperationalError) else type(error).__name__
        return respond({"code": phrase(500), "message": f"error of the registry: {what}"}, 500)

    def serve(path: str, method: str, action: Callable[..., tuple[Any, int]]) -> None:
        def handle(**arguments: str) -> Response:
            with Session(engine) as session, session.begin():
                return respond(*action(session, **arguments))

        blueprint.add_url_rule(path, f"{method} {path}".replace(".", " "), handle, methods=[method])

    add_models(serve)
    add_artifacts(serve)

    @blueprint.route("/<path:rest>", methods=["GET", "POST", "PATCH", "PUT", "DELETE"])
    def not_here(rest: str) -> Response:
        if rest.startswith(NOT_HERE):
            raise Refused(501, f"the sandbox's registry has no {rest.partition('/')[0]}")
        return Response("404 page not found\n", 404, mimetype="text/plain")

    return blueprint


Serve = Callable[[str, str, Callable[..., tuple[Any, int]]], None]


def add_models(serve: Serve) -> None:
    """The addresses of registered models and of their versions."""
    models, versions = (REGISTERED_MODEL,), (MODEL_VERSION,)

    def create_model(session: Session) -> tuple[Any, int]:
        content = messages.read(mr_openapi.RegisteredModelCreate, body())
        return messages.answer(resources.create(session, REGISTERED_MODEL, None, content.pop("name"), content)), 201

    def create_version(session: Session, number: str = "") -> tuple[Any, int]:
        sent = body()
        if number:
            content = messages.read(mr_openapi.ModelVersion, sent | {"registeredModelId": number})
        else:
            content = messages.read(mr_openapi.ModelVersionCreate, sent)
        parent = resources.get(session, models, content.pop("registeredModelId"))
        return messages.answer(resources.create(session, MODEL_VERSION, parent, content.pop("name"), content)), 201

    for one, kinds in (("registered_model", models), ("model_version", versions)):
        serve(f"/{one}s", "GET", lister(kinds))
        serve(f"/{one}s/<number>", "GET", getter(kinds))
        serve(f"/{one}s/<number>", "PATCH", changer(kinds))
        serve(f"/{one}", "GET", finder(kinds))
    serve("/registered_models", "POST", create_model)
    serve("/registered_models/<number>/versions", "GET", lister(versions))
    serve("/registered_models/<number>/versions", "POST", create_version)
    serve("/model_versions", "POST", create_version)


def add_artifacts(serve: Serve) -> None:
    """The addresses of artifacts."""

    def upsert(session: Session, number: str = "") -> tuple[Any, int]:
        sent = body()
        kind = kind_of(sent)
        parent = resources.get(session, (MODEL_VERSION,), number) if number else None
        content = messages.read(WHOLE[kind], sent, strict=False)
        if known := sent.get("id"):
            content = {key: value for key, value in content.items() if key != "name" and sent.get(key) is not None}
            return messages.answer(resources.change(session, (kind,), str(known), content)), 200
        name = content.pop("name", None) or uuid.uuid4().hex
        return messages.answer(resources.create(session, kind, parent, name, content)), 201

    for one, kinds in (("artifact", ARTIFACTS), ("model_artifact", (MODEL_ARTIFACT,))):
        serve(f"/{one}s", "GET", lister(kinds))
        serve(f"/{one}s", "POST", upsert)
        serve(f"/{one}s/<number>", "GET", getter(kinds))
        serve(f"/{one}s/<number>", "PATCH", changer(kinds))
        serve(f"/{one}", "GET", finder(kinds))
    serve("/model_versions/<number>/artifacts", "GET", lister(ARTIFACTS))
    serve("/model_versions/<number>/artifacts", "POST", upsert)


def lister(kinds: tuple[str, ...]) -> Callable[..., tuple[Any, int]]:
    """The action that lists resources, of one parent where the address names it."""

    def action(session: Session, number: str = "") -> tuple[Any, int]:
        query = request.args.to_dict()
        if query.get("filterQuery"):
            raise Refused(501, "the sandbox's registry has no filterQuery")
        wanted = kinds
        if artifact_type := query.get("artifactType") if kinds == ARTIFACTS else None:
            wanted = (kind_of({"artifactType": artifact_type}),)
        chosen = select(Resource).where(Resource.kind.in_(wanted))
        if number:
            parent = resources.read_id(number, "parent resource")
            chosen = chosen.where(Resource.parent_id == parent)
            if name := query.get("name"):
                chosen = chosen.where(Resource.name == f"{parent}:{name}")
            elif external_id := query.get("externalId"):
                chosen = chosen.where(Resource.external_id == external_id)
        return messages.answer_page(resources.page(session, chosen, query)), 200

    return action


def getter(kinds: tuple[str, ...]) -> Callable[..., tuple[Any, int]]:
    """The action that answers with the resource of an id."""
    return lambda session, number: (messages.answer(resources.get(session, kinds, number)), 200)


def finder(kinds: tuple[str, ...]) -> Callable[..., tuple[Any, int]]:
    """The action that answers with the resource of a name."""

    def action(session: Session) -> tuple[Any, int]:
        name, parent, external_id = (request.args.get(key, "") for key in ("name", "parentResourceId", "externalId"))
        return messages.answer(resources.find(session, kinds, name, parent, external_id)), 200

    return action


def changer(kinds: tuple[str, ...]) -> Callable[..., tuple[Any, int]]:
    """The action that changes the fields that are given."""

    def action(session: Session, number: str) -> tuple[Any, int]:
        sent = body()
        kind = kind_of(sent) if kinds == ARTIFACTS else kinds[0]
        content = messages.read(UPDATES[kind], sent, strict=kinds != ARTIFACTS)
        # A state that is not given is the definition's default, and no change.
        content = {key: value for key, value in content.items() if sent.get(key) is not None}
        return messages.answer(resources.change(session, (kind,), number, content)), 200

    return action


def kind_of(sent: dict[str, Any]) -> str:
    """The kind of an artifact."""
    kinds = {"model-artifact": MODEL_ARTIFACT, "doc-artifact": DOC_ARTIFACT}
    named = sent.get("artifactType", "model-artifact")
    if not isinstance(named, str) or named not in kinds:
        raise Refused(400, f"the sandbox's registry keeps no artifact of type {named!r}, only {', '.join(kinds)}")
    return kinds[named]


def body() -> dict[str, Any]:
    """The request's JSON object; 400 for anything else. Half a character becomes U+FFFD, as Go reads it."""

    def no_constant(name: str) -> None:
        raise ValueError(f"invalid character {name[0]!r} looking for beginning of value")

    try:
        text = json.loads(request.get_data().decode(errors="replace"), parse_constant=no_constant)
        sent = json.loads(
            json.dumps(text, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
    except (ValueError, RecursionError) as error:
        raise Refused(400, str(error)) from None
    if not isinstance(sent, dict):
        raise Refused(400, f"json: cannot unmarshal {type(sent).__name__} into a message")
    return sent


def phrase(status: int) -> str:
    """What an error's ``code`` says: the name of its status; of 422, too, the real server says ``Bad Request``."""
    return "Bad Request" if status == 422 else HTTPStatus(status).phrase


def respond(answer: Any, status: int) -> Response:
    """The answer as JSON."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return Response(json.dumps(answer), status, headers, mimetype="application/json")
