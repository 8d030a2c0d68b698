"""A stand-in for a Kubeflow Pipelines server, which needs a cluster: its v2beta1 REST API on loopback, in memory.

It speaks as the generated client does and refuses what the published API definition and its server refuse: a field
that the definition does not name or a value of another type, an id that is not known, both kinds of trigger or none,
a parameter that is missing or unknown, a name that is taken. Its own answers are held to the same definition, which
is that of the client's generated models. Set its attributes to make it fail.
https://www.kubeflow.org/docs/components/pipelines/reference/api/kubeflow-pipeline-api-spec/
"""

import json
import re
import ssl
import threading
import time
import uuid
from datetime import UTC, datetime
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

LOGIN_PAGE = b"<!DOCTYPE html><html><title>Log in</title></html>"
LIST_OPTIONS = {"page_token", "page_size", "sort_by", "filter", "namespace"}


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class FakePipelines:
    """The server.

    Attributes:
        url: Its address.
        token: The bearer token it asks for; empty means none.
        page: An answer that is HTML, by its status, e.g. 200 for a login page; 0 for none.
        kubernetes_store: Whether it keeps pipelines as Kubernetes resources, as the dashboard sets it up since
            2025: then the versions of all pipelines share one space of names.
        failures: Statuses to answer with, by a method and path that they match, e.g. ``POST .*/runs``; each is
            used as often as it is in the list. 0 means no answer at all; -502, that it is done and then answered 502.
        requests: Method and path of what was asked.
        states: What becomes of each step of a run, in turn: a state, or ``hang``.
        page_size: How many items a list has at most.
    """

    def __init__(self, certificate: ssl.SSLContext | None = None) -> None:
        self.token, self.page, self.page_size, self.kubernetes_store = "", 0, 2, False
        self.failures: dict[str, list[int]] = {}
        self.requests: list[str] = []
        self.states: list[str] = []
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.recurring: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.lock, self.stopped = threading.Lock(), threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, kind, text = fake.handle(self.command, self.path, self.headers, body)
                if not status:
                    return
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *arguments: object) -> None:
                """Keep the tests' output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if certificate:
            self.server.socket = certificate.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if certificate else 'http'}://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop it."""
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()

    def handle(self, method: str, target: str, headers: Any, body: bytes) -> tuple[int, str, bytes]:
        """Answer one request: status, content type, body."""
        address = urlsplit(target)
        self.requests.append(f"{method} {address.path}")
        if self.page:
            return self.page, "text/html; charset=utf-8", LOGIN_PAGE
        query = {key: values[-1] for key, values in parse_qs(address.query, keep_blank_values=True).items()}
        try:
            for pattern, statuses in self.failures.items():
                if statuses and re.fullmatch(pattern, f"{method} {address.path}"):
                    status = statuses.pop(0)
                    if status < 0:
                        self.route(method, address.path, query, headers, body)
                    if not status:
                        self.stopped.wait(30)
                        return 0, "", b""
                    raise Refused(abs(status), "told to fail")
            if self.token and headers.get("Authorization") != f"Bearer {self.token}":
                raise Refused(401, "Unauthorized")
            with self.lock:
                answer = self.route(method, address.path, query, headers, body)
            return 200, "application/json", json.dumps(answer).encode()
        except Refused as error:
            return error.status, "application/json", json.dumps({"message": str(error), "code": error.status}).encode()

    def route(self, method: str, path: str, query: dict[str, str], headers: Any, body: bytes) -> dict[str, Any]:
        """Find what is asked for, and do it."""
        root = "/apis/v2beta1"
        routes = {
            f"GET {root}/pipelines": (
                lambda: self.page_of("pipelines", self.pipelines, query),
                "V2beta1ListPipelinesResponse",
            ),
            f"POST {root}/pipelines": (
                lambda: self.create_pipeline(checked(body, "V2beta1Pipeline")),
                "V2beta1Pipeline",
            ),
            f"DELETE {root}/pipelines/([^/]+)": (self.delete_pipeline, "object"),
            f"GET {root}/pipelines/([^/]+)/versions": (
                lambda key: self.page_of("pipeline_versions", self.versions_of(key), query),
                "V2beta1ListPipelineVersionsResponse",
            ),
            f"POST {root}/pipelines/upload_version": (
                lambda: self.upload_version(query, headers, body),
                "V2beta1PipelineVersion",
            ),
            f"GET {root}/recurringruns": (
                lambda: self.page_of("recurringRuns", self.recurring, query),
                "V2beta1ListRecurringRunsResponse",
            ),
            f"POST {root}/recurringruns": (
                lambda: self.create_recurring(checked(body, "V2beta1RecurringRun")),
                "V2beta1RecurringRun",
            ),
            f"DELETE {root}/recurringruns/([^/]+)": (self.delete_recurring, "object"),
            f"POST {root}/recurringruns/([^/]+):enable": (self.enable_recurring, "object"),
            f"POST {root}/runs": (lambda: self.create_run(checked(body, "V2beta1Run")), "V2beta1Run"),
            f"GET {root}/runs/([^/]+)": (self.get_run, "V2beta1Run"),
        }
        for pattern, (act, model) in routes.items():
            if match := re.fullmatch(pattern, f"{method} {path}"):
                answer = act(*match.groups())  # type: ignore[operator]
                check(answer, model, "the answer")
                return answer
        raise Refused(404, f"no such method: {method} {path}")

    def versions_of(self, pipeline: str) -> dict[str, dict[str, Any]]:
        """A pipeline's versions."""
        one("Pipeline", self.pipelines, pipeline)
        return {number: version for number, version in self.versions.items() if version["pipeline_id"] == pipeline}

    def page_of(self, name: str, items: dict[str, dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        """One page of a list."""
        if unknown := set(query) - LIST_OPTIONS:
            raise Refused(400, f"unknown query parameters {unknown}")
        start, size = int(query.get("page_token") or 0), min(int(query.get("page_size") or 20), self.page_size)
        found = list(items.values())
        more = {"next_page_token": str(start + size)} if start + size < len(found) else {}
        return {name: found[start : start + size], "total_size": len(found), **more}

    def create_pipeline(self, new: dict[str, Any]) -> dict[str, Any]:
        """Make a pipeline without versions."""
        name = new.get("display_name", "")
        if not name.strip():
            raise Refused(400, "pipeline's name cannot be empty")
        field = "name" if self.kubernetes_store else "display_name"
        if any(pipeline[field] == new[field] for pipeline in self.pipelines.values()):
            raise Refused(409, f"Failed to create a new pipeline. The name {name} already exists")
        key = str(uuid.uuid4())
        self.pipelines[key] = {**new, "pipeline_id": key, "created_at": now()}
        return self.pipelines[key]

    def delete_pipeline(self, key: str) -> dict[str, Any]:
        """Delete a pipeline that has no versions."""
        if self.versions_of(key):
            raise Refused(400, "the pipeline has versions")
        del self.pipelines[key]
        return {}

    def upload_version(self, query: dict[str, str], headers: Any, body: bytes) -> dict[str, Any]:
        """Make a version of a pipeline from a YAML file: strict about the main document, as the server is."""
        if unknown := set(query) - {"name", "pipelineid", "description", "display_name"}:
            raise Refused(400, f"unknown query parameters {unknown}")
        pipeline = one("Pipeline", self.pipelines, query.get("pipelineid", ""))
        name = query.get("name", "")
        if not name:
            raise Refused(400, "the version's name cannot be empty")
        if self.kubernetes_store and not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", name):
            raise Refused(400, f"Invalid pipeline version name {name}")
        siblings = self.versions if self.kubernetes_store else self.versions_of(pipeline["pipeline_id"])
        if any(version["display_name"] == name for version in siblings.values()):
            raise Refused(409, f"Failed to create a new pipeline version. The name {name} already exists")
        message = message_from_bytes(b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body)
        parts = [p for p in message.get_payload() if p.get_param("name", header="content-disposition") == "uploadfile"]
        if not parts:
            raise Refused(400, "uploadfile is missing")
        documents = list(yaml.safe_load_all(parts[0].get_payload(decode=True)))
        try:
            json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
        except (json_format.ParseError, IndexError) as error:
            raise Refused(400, f"invalid pipeline spec: {error}") from None
        both = {"pipeline_spec": documents[0], "platform_spec": documents[1]} if len(documents) > 1 else documents[0]
        key = str(uuid.uuid4())
        self.versions[key] = {
            "pipeline_id": pipeline["pipeline_id"],
            "pipeline_version_id": key,
            "display_name": name,
            "name": name,
            "created_at": now(),
            "pipeline_spec": both,
        }
        return self.versions[key]

    def check_job(self, job: dict[str, Any]) -> dict[str, Any]:
        """What runs and schedules have in common: a name, a version that exists, and its parameters."""
        if not job.get("display_name"):
            raise Refused(400, "the display name cannot be empty")
        if job.get("experiment_id"):
            raise Refused(404, f"Experiment {job['experiment_id']} not found")
        reference = job.get("pipeline_version_reference") or {}
        version = self.versions.get(reference.get("pipeline_version_id", ""))
        if not version or version["pipeline_id"] != reference.get("pipeline_id"):
            raise Refused(404, f"Pipeline version {reference} not found")
        documents = version["pipeline_spec"]
        spec = documents.get("pipeline_spec", documents)
        known = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        given = (job.get("runtime_config") or {}).get("parameters", {})
        needed = {k for k, p in known.items() if "defaultValue" not in p and not p.get("isOptional")}
        if missing := needed - set(given):
            raise Refused(400, f"pipeline requires input parameters {missing}, which were not provided")
        if unknown := set(given) - set(known):
            raise Refused(400, f"parameters {unknown} are not in the pipeline's inputs")
        return spec

    def create_recurring(self, job: dict[str, Any]) -> dict[str, Any]:
        """Make a recurring run; names need not differ."""
        self.check_job(job)
        trigger = job.get("trigger") or {}
        if len(trigger) != 1:
            raise Refused(400, "exactly one of cron_schedule and periodic_schedule is needed")
        interval = trigger.get("periodic_schedule", {}).get("interval_second", 1)
        if int(interval) <= 0:
            raise Refused(400, "the interval must be at least one second")
        if not 1 <= int(job.get("max_concurrency", 0)) <= 10:
            raise Refused(400, "max_concurrency is from 1 to 10")
        if job.get("mode") not in ("ENABLE", "DISABLE"):
            raise Refused(400, "mode is ENABLE or DISABLE")
        key = str(uuid.uuid4())
        if "periodic_schedule" in trigger:  # an int64 is a string in JSON
            trigger = {"periodic_schedule": {**trigger["periodic_schedule"], "interval_second": str(interval)}}
        self.recurring[key] = {
            **job,
            "trigger": trigger,
            "recurring_run_id": key,
            "max_concurrency": str(job["max_concurrency"]),
            "status": f"{job['mode']}D",
            "created_at": now(),
        }
        return self.recurring[key]

    def delete_recurring(self, key: str) -> dict[str, Any]:
        """Delete a recurring run."""
        one("Recurring run", self.recurring, key)
        del self.recurring[key]
        return {}

    def enable_recurring(self, key: str) -> dict[str, Any]:
        """Enable a recurring run."""
        one("Recurring run", self.recurring, key).update(mode="ENABLE", status="ENABLED")
        return {}

    def create_run(self, job: dict[str, Any]) -> dict[str, Any]:
        """Start a run; it moves on one step with each question for it."""
        spec = self.check_job(job)
        key = str(uuid.uuid4())
        waiting = list(spec["root"]["dag"]["tasks"])
        self.runs[key] = {
            **job,
            "run_id": key,
            "state": "PENDING",
            "created_at": now(),
            "waiting": waiting,
            "tasks": [],
        }
        return self.public(self.runs[key])

    def get_run(self, key: str) -> dict[str, Any]:
        """A run as it stands now."""
        run = one("Run", self.runs, key)
        tasks, waiting = run["tasks"], run["waiting"]
        if run["state"] in ("PENDING", "RUNNING", "CANCELING"):
            self.move_on(run, tasks, waiting)
        return self.public(run)

    def move_on(self, run: dict[str, Any], tasks: list[dict[str, Any]], waiting: list[str]) -> None:
        """The step that runs ends, or the next one starts."""
        run["state"] = "CANCELING" if run["state"] == "CANCELING" else "RUNNING"
        if run["state"] == "CANCELING":
            run["state"] = "CANCELED"
            return
        running = [task for task in tasks if task["state"] == "RUNNING"]
        if not running and waiting:
            name = waiting.pop(0)
            tasks.append({"display_name": f"{name}-driver", "state": "SUCCEEDED"})
            tasks.append(
                {"display_name": name, "state": "RUNNING", "start_time": now(), "end_time": "1970-01-01T00:00:00Z"}
            )
        elif running:
            state = self.states.pop(0) if self.states else "SUCCEEDED"
            if state == "hang":
                self.states.insert(0, "hang")
                return
            if state in ("CANCELED", "CANCELING"):
                run["state"] = "CANCELING"
                return
            running[0] |= {"state": state, "end_time": now()}
            if state == "FAILED":
                running[0]["error"] = {"message": "the step's own words. Next: mend it.", "code": 2}
                run["state"] = "FAILED"
        elif not waiting:
            run["state"] = "SUCCEEDED"

    def public(self, run: dict[str, Any]) -> dict[str, Any]:
        """A run as the API shows it."""
        shown = {key: value for key, value in run.items() if key not in ("waiting", "tasks")}
        return {**shown, "run_details": {"task_details": run["tasks"]}}


def one(what: str, items: dict[str, dict[str, Any]], key: str) -> dict[str, Any]:
    """The item of an id."""
    if key not in items:
        raise Refused(404, f"{what} {key} not found")
    return items[key]


def checked(body: bytes, model: str) -> dict[str, Any]:
    """A body that is what the API definition says.

    Raises:
        Refused: If it is not.
    """
    try:
        value = json.loads(body)
    except ValueError:
        raise Refused(400, "the body is not JSON") from None
    check(value, model, "the body")
    return value


PLAIN = {"str": (str, int), "bool": bool, "int": int, "float": (int, float), "datetime": str, "object": object}
"""What JSON has for each plain type of the client; a 64-bit integer is text or a number."""


def check(value: Any, kind: str, where: str) -> None:
    """Compare a value with a type of the generated client, which is the API definition's, at any depth.

    Raises:
        Refused: If they differ: an unknown field, another type, a word that the definition does not list.
    """
    container = re.fullmatch(r"(list|dict)(?:\[|\(str, )(.+)[])]", kind)
    model = getattr(kfp_server_api, kind, None)
    words = getattr(model, "allowable_values", None)
    if container:
        items = value.values() if isinstance(value, dict) else value
        good = isinstance(value, dict if container[1] == "dict" else list)
        for item in items if good else ():
            check(item, container[2], where)
    elif words:
        good = value in words
    elif kind in PLAIN:
        good = isinstance(value, PLAIN[kind]) and (kind == "bool" or kind == "object" or not isinstance(value, bool))
    else:
        good = isinstance(value, dict)
        fields = {name: model.openapi_types[ours] for ours, name in model.attribute_map.items()}
        for name, item in value.items() if good else ():
            if name not in fields:
                raise Refused(400, f"{where}: unknown field {name!r} in {kind}")
            check(item, fields[name], f"{where}.{name}")
    if not good:
        raise Refused(400, f"{where}: {value!r} is no {kind}")


def now() -> str:
    """The time, as the API writes it; never twice the same."""
    time.sleep(0.001)
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
