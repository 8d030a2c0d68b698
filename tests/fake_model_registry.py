"""A stand-in for the Kubeflow Model Registry, which needs a cluster: its v1alpha3 REST API on loopback, in memory.

It refuses what the published API definition refuses: the client's generated models validate every body, and a
field that the definition does not name is an error, as in the real server. Set its attributes to make it fail.
"""

import json
import re
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from mr_openapi import (
    ModelArtifact,
    ModelVersionCreate,
    ModelVersionUpdate,
    OrderByField,
    RegisteredModelCreate,
    SortOrder,
)
from pydantic import BaseModel

LOGIN_PAGE = "<!DOCTYPE html><html><title>Log in</title></html>"
LIST_OPTIONS = {"pageSize", "orderBy", "sortOrder", "nextPageToken", "filterQuery"}


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class FakeModelRegistry:
    """The server.

    Attributes:
        url: Its address.
        token: The bearer token it asks for; empty means none.
        api: The API version that it serves; any other is not found.
        page: An answer that is HTML, by its status, e.g. 200 for a login page; 0 for none.
        failures: Statuses to answer with, by a method and path that they match, e.g. ``POST .*/artifacts``;
            each is used once.
        requests: Method and path of what was asked.
    """

    def __init__(self, certificate: ssl.SSLContext | None = None) -> None:
        self.token, self.api, self.page = "", "v1alpha3", 0
        self.failures: dict[str, int] = {}
        self.requests: list[str] = []
        self.models: dict[str, dict] = {}
        self.versions: dict[str, dict] = {}
        self.artifacts: dict[str, dict] = {}
        self.lock = threading.Lock()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, kind, text = registry.handle(self.command, self.path, self.headers, body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = answer

            def log_message(self, *arguments: object) -> None:
                """Keep the tests' output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if certificate:
            self.server.socket = certificate.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if certificate else 'http'}://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()

    def handle(self, method: str, target: str, headers, body: bytes) -> tuple[int, str, bytes]:
        """Answer one request: status, content type and body."""
        if self.page:
            return self.page, "text/html; charset=utf-8", LOGIN_PAGE.encode()
        url = urlsplit(target)
        self.requests.append(f"{method} {url.path}")
        query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        try:
            if self.token and headers.get("Authorization") != f"Bearer {self.token}":
                raise Refused(401, "unauthorized")
            for pattern in [pattern for pattern in self.failures if re.fullmatch(pattern, f"{method} {url.path}")]:
                raise Refused(self.failures.pop(pattern), "told to fail")
            with self.lock:
                answer = self.route(method, url.path, query, body)
            return (201 if method == "POST" else 200), "application/json", encode(answer)
        except Refused as refused:
            return refused.status, "application/json", encode({"code": str(refused.status), "message": str(refused)})

    def route(self, method: str, path: str, query: dict[str, str], body: bytes) -> dict:
        """Find what the path names and do what is asked."""
        root = f"/api/model_registry/{self.api}/"
        match (method, *path.removeprefix(root).split("/")) if path.startswith(root) else ():
            case ("GET", "registered_models"):
                return page(list(self.models.values()), query)
            case ("POST", "registered_models"):
                return self.create(self.models, parse(RegisteredModelCreate, body), ("name",))
            case ("GET", "registered_model"):
                return self.one(self.models, query, "")
            case ("GET", "registered_models", number, "versions"):
                self.get(self.models, number)
                return page([v for v in self.versions.values() if v["registeredModelId"] == number], query)
            case ("POST", "model_versions"):
                version = parse(ModelVersionCreate, body)
                self.get(self.models, version["registeredModelId"])
                return self.create(self.versions, version, ("registeredModelId", "name"))
            case ("GET", "model_version"):
                return self.one(self.versions, query, "registeredModelId")
            case ("PATCH", "model_versions", number):
                version = self.get(self.versions, number)
                version.update(parse(ModelVersionUpdate, body))
                return version
            case ("POST", "model_versions", number, "artifacts"):
                self.get(self.versions, number)
                artifact = parse(ModelArtifact, body) | {"modelVersionId": number}
                return self.create(self.artifacts, artifact, ("modelVersionId", "name"))
            case ("GET", "model_artifact"):
                return self.one(self.artifacts, query, "modelVersionId")
        raise Refused(404, f"{method} {path} does not exist")

    def create(self, table: dict[str, dict], resource: dict, unique: tuple[str, ...]) -> dict:
        """Keep a resource under a new number."""
        if any(all(known[field] == resource[field] for field in unique) for known in table.values()):
            raise Refused(409, f"{resource['name']} already exists")
        number, now = str(len(table) + 1), str(int(time.time() * 1000))
        table[number] = resource | {"id": number, "createTimeSinceEpoch": now, "lastUpdateTimeSinceEpoch": now}
        return table[number]

    def get(self, table: dict[str, dict], number: str) -> dict:
        """A resource by its number."""
        if number not in table:
            raise Refused(404, f"no resource {number}")
        return table[number]

    def one(self, table: dict[str, dict], query: dict[str, str], parent: str) -> dict:
        """The resource of a name, of the parent that is named."""
        if unknown := set(query) - {"name", "externalId", "parentResourceId"}:
            raise Refused(400, f"unknown parameters {sorted(unknown)}")
        for resource in table.values():
            mine = not parent or resource[parent] == query.get("parentResourceId")
            if mine and resource["name"] == query.get("name"):
                return resource
        raise Refused(404, f"nothing is named {query.get('name')!r}")


def parse(model: type[BaseModel], body: bytes) -> dict:
    """Validate a body against the API definition.

    Args:
        model: The generated model of what the definition allows here.
        body: JSON.

    Returns:
        The resource, as the definition spells its fields.

    Raises:
        Refused: If the body has an unknown, a missing or a malformed field.
    """
    try:
        sent = json.loads(body)
        understood = model.from_dict(sent).to_dict()  # type: ignore[attr-defined]
        if not holds(understood, sent):  # the models drop what they do not know
            raise Refused(400, f"json: unknown field in {sent}, only {understood} is known")
        return understood
    except (ValueError, AttributeError) as error:
        raise Refused(400, str(error)) from error


def holds(understood: object, sent: object) -> bool:
    """Whether all that was sent was understood, at any depth."""
    if not isinstance(sent, dict) or not isinstance(understood, dict):
        return understood == sent
    return all(key in understood and holds(understood[key], value) for key, value in sent.items())


def page(items: list[dict], query: dict[str, str]) -> dict:
    """One page of a list; its token is the position of the next one."""
    if unknown := set(query) - LIST_OPTIONS:
        raise Refused(400, f"unknown parameters {sorted(unknown)}")
    try:
        size = int(query.get("pageSize", "100"))
        start = int(query.get("nextPageToken") or 0)
        OrderByField(query.get("orderBy", "ID"))
        order = SortOrder(query.get("sortOrder", "ASC"))
    except ValueError as error:
        raise Refused(400, str(error)) from error
    if order is SortOrder.DESC:
        items = items[::-1]
    following = str(start + size) if start + size < len(items) else ""
    found = items[start : start + size]
    return {"items": found, "nextPageToken": following, "pageSize": size, "size": len(found)}


def encode(answer: object) -> bytes:
    """JSON as Go writes it: a float without a fraction has none in the text either."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if item is not None}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    return json.dumps(plain(answer)).encode()
