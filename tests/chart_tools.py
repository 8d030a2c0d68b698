"""What the tests of the charts ask of packages that the kit does not need: schemas and CEL.

Run in an environment of its own, with an order as JSON on standard input and the answer as JSON on standard output.
"""

import json
import sys
from pathlib import Path
from typing import Any

import cel
import jsonschema
import kubernetes_validate

SCHEMAS = json.loads(Path(__file__).with_name("data").joinpath("cluster-schemas-2026-11.json").read_text())
"""The schemas of what is not Kubernetes' own, by kind."""


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A structural schema that refuses unknown fields, as a server does that is asked to validate fields strictly."""
    closed = dict(schema)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            closed[key] = strict(schema[key])
    if "properties" in schema:
        closed["properties"] = {name: strict(inner) for name, inner in schema["properties"].items()}
        closed.setdefault("additionalProperties", bool(schema.get("x-kubernetes-preserve-unknown-fields")))
    return closed


def with_defaults(schema: dict[str, Any], value: Any) -> Any:
    """A value with the defaults of its schema filled in, as a server does before it validates."""
    if isinstance(value, list) and "items" in schema:
        return [with_defaults(schema["items"], item) for item in value]
    if not isinstance(value, dict):
        return value
    known = schema.get("properties", {})
    defaults = {name: inner["default"] for name, inner in known.items() if "default" in inner}
    return {name: with_defaults(known.get(name, {}), item) for name, item in {**defaults, **value}.items()}


def embedded(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """What the schema of a manifest leaves open because another schema describes it, as manifests of their own."""
    metadata = {"name": "part"}
    parts = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": manifest["metadata"]}]
    spec = manifest["spec"]
    if manifest["kind"] == "Pipeline":
        for task in [*spec["tasks"], *spec["finally"]]:
            pod = {"containers": [{"name": "x"}], "volumes": task["taskSpec"].get("volumes", [])}
            parts.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})
    if manifest["kind"] == "PipelineRun":
        for workspace in spec["workspaces"]:
            claim = {"metadata": metadata, **workspace["volumeClaimTemplate"]}
            parts.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim})
    if manifest["kind"] == "Notebook":
        parts.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec["template"]["spec"]})
    if manifest["kind"] == "TriggerTemplate":
        parts += spec.get("resourcetemplates", [])
    return parts


def problems(manifest: dict[str, Any], version: str) -> list[str]:
    """What is wrong with a manifest.

    Args:
        manifest: The manifest.
        version: The version of Kubernetes, for its own kinds.

    Returns:
        One message for each problem.
    """
    kind, of_version = manifest["kind"], f"{manifest['kind']} {manifest['apiVersion'].partition('/')[2]}"
    if kind in SCHEMAS:
        schema = SCHEMAS.get(of_version, SCHEMAS[kind])["schema"]
        errors = jsonschema.Draft202012Validator(strict(schema)).iter_errors(with_defaults(schema, manifest))
        found = [f"{error.json_path}: {error.message}" for error in errors]
        return found or [problem for part in embedded(manifest) for problem in problems(part, version)]
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return [f"{getattr(error, 'json_path', '')}: {error.message}"]
    return []


def evaluate(expression: str, variables: dict[str, Any]) -> Any:
    """The value of a CEL expression, with the one function of Tekton's that the chart uses.

    See https://tekton.dev/docs/triggers/cel_expressions/
    """
    context = cel.Context(variables)
    context.add_function("truncate", lambda text, length: text[:length])
    try:
        return cel.evaluate(expression, context)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        return f"error: {error}"


if __name__ == "__main__":
    order = json.load(sys.stdin)
    json.dump(
        {
            "problems": [problems(manifest, order["kubernetes"]) for manifest in order.get("manifests", [])],
            "values": [evaluate(expression, variables) for expression, variables in order.get("expressions", [])],
        },
        sys.stdout,
    )
