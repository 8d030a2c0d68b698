"""Pipelines as they are uploaded: YAML with a pipeline spec and, if need be, a platform spec. All else is refused.

As the real server does it: ``backend/src/apiserver/template/v2_template.go`` of
https://github.com/kubeflow/pipelines.
"""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from jukebox_sandbox.pipeline_server.errors import invalid

SIZE_LIMIT = 32 << 20
"""Bytes that an upload may have, as the real server has it."""

NODE_LIMIT = 1_000_000
"""Values that a file may have when its aliases are written out."""

DEPTH_LIMIT = 100
"""How deeply a file may be nested, as protobuf has it."""

INVALID = "pipeline spec is invalid"
COMPILE = "Compile it with kfp 2 and upload that file."


@dataclass(frozen=True)
class Spec:
    """A pipeline that was read.

    Attributes:
        pipeline: The pipeline spec.
        platform: The platform spec; None if there is none.
        message: The pipeline spec as a message of ``kfp.pipeline_spec``.
    """

    pipeline: dict[str, Any]
    platform: dict[str, Any] | None
    message: Any

    @property
    def name(self) -> str:
        """The name of the pipeline in its spec."""
        return str(self.message.pipeline_info.name)

    @property
    def document(self) -> dict[str, Any]:
        """Both documents as the API hands them out: alone, the pipeline spec has no wrapper."""
        if self.platform is None:
            return self.pipeline
        return {"pipeline_spec": self.pipeline, "platform_spec": self.platform}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as JSON knows it: no merge keys, which double with each level, and no dates."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse ``<<``."""
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, "merge keys are not taken", key.start_mark)


_Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)


def read_upload(file_name: str, content: bytes) -> str:
    """The text of an uploaded file.

    Args:
        file_name: Its name; the ending says what it is.
        content: Its bytes.

    Returns:
        The text, as it came.

    Raises:
        RequestError: If it is not text that could be a pipeline.
    """
    if len(content) > SIZE_LIMIT:
        raise invalid(f"File size too large. Maximum supported file size: {SIZE_LIMIT} bytes.")
    if content[:2] in (b"PK", b"\x1f\x8b"):
        raise invalid("Archives (.zip, .tar.gz) are not taken here.", "Upload the YAML file itself.")
    if not file_name.endswith((".yaml", ".yml", ".json")):
        raise invalid("Unexpected pipeline file format. Support .yaml, .yml or .json.")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise invalid(f"{INVALID}: the file is not text in UTF-8.", COMPILE) from None


@lru_cache(maxsize=32)
def read_spec(text: str) -> Spec:
    """Read a compiled pipeline.

    Args:
        text: The YAML, one document or two.

    Returns:
        What it holds. It is shared between callers: change nothing in it.

    Raises:
        RequestError: If it is not a compiled pipeline that KFP takes.
    """
    pipeline = platform = message = None
    for document in _documents(text):
        if str(document.get("apiVersion", "")).startswith("argoproj.io/"):
            raise invalid(f"{INVALID}: it is an Argo Workflow, as KFP 1 made them.", COMPILE)
        if "platforms" in document and "pipelineInfo" not in document:
            if platform is not None:
                raise invalid("platform spec is invalid: multiple platform specs provided")
            platform = document
            _parse("PlatformSpec", document, "platform spec is invalid: cannot unmarshal platform specific configs")
        elif pipeline is not None:
            raise invalid(f"{INVALID}: multiple pipeline specs provided")
        else:
            pipeline, message = document, _parse("PipelineSpec", document, f"{INVALID}: invalid v2 pipeline spec")
    if pipeline is None:
        raise invalid(f"{INVALID}: no pipeline spec is provided")
    _check(message)
    return Spec(pipeline, platform, message)


def write_spec(document: dict[str, Any]) -> str:
    """The YAML of a pipeline that came inside a request.

    Args:
        document: A pipeline spec, or both documents under ``pipeline_spec`` and ``platform_spec``.

    Returns:
        YAML, one document or two.

    Raises:
        RequestError: If a part is not an object.
    """
    parts = [document]
    if "pipeline_spec" in document:
        parts = [document[key] for key in ("pipeline_spec", "platform_spec") if document.get(key)]
    if not parts or not all(isinstance(part, dict) for part in parts):
        raise invalid(f"{INVALID}: no pipeline spec is provided")
    return yaml.dump_all(parts, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), allow_unicode=True)


def check_parameters(spec: Spec, parameters: dict[str, Any]) -> None:
    """Compare what a run is given with what its pipeline asks for.

    Args:
        spec: The pipeline.
        parameters: Values by name.

    Raises:
        RequestError: If a parameter is missing, has another type, or is not the pipeline's.
    """
    known = spec.message.root.input_definitions.parameters
    for name, parameter in sorted(known.items()):  # the message has them in another order in every process
        if name in parameters:
            _check_value(name, parameter, parameters[name])
        elif not parameter.is_optional and not parameter.HasField("default_value"):
            raise invalid(
                f"parameter {name} is not optional, yet has neither default value nor user provided value",
                f"Give {name} a value.",
            )
    if extra := sorted(set(parameters) - set(known)):
        raise invalid(
            f"parameter(s) provided are not required by pipeline: {', '.join(extra)}",
            f"Its parameters are: {', '.join(sorted(known)) or 'none'}.",
        )


TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "NUMBER_DOUBLE": ("double or integer", (int, float)),
    "NUMBER_INTEGER": ("double or integer", (int, float)),
    "STRING": ("string", (str,)),
    "BOOLEAN": ("bool", (bool,)),
    "LIST": ("list", (list,)),
    "STRUCT": ("struct", (dict,)),
}
"""What a parameter's type is called, and the Python types of its values."""


def _check_value(name: str, parameter: Any, value: Any) -> None:
    values = parameter.DESCRIPTOR.fields_by_name["parameter_type"].enum_type.values_by_number
    kind = values[parameter.parameter_type].name if parameter.parameter_type in values else "unknown"
    if kind not in TYPES:
        raise invalid(f"input parameter {name} has the type {kind}, which a pipeline's parameter cannot have")
    called, types = TYPES[kind]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise invalid(
            f"input parameter {name} requires type {called}, but the parameter value is not of {called} value type"
        )


def _documents(text: str) -> list[dict[str, Any]]:
    try:
        _check_depth(text)
        documents = [one for one in yaml.load_all(text, _Loader) if one is not None]
    except (yaml.YAMLError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise invalid(f"{INVALID}: unable to decode yaml document: {said}", COMPILE) from None
    _check_size(documents)
    for document in documents:
        if not isinstance(document, dict):
            raise invalid(f"{INVALID}: a document is not a mapping.", COMPILE)
    return documents


def _check_depth(text: str) -> None:
    """Refuse what is nested so deeply that the loader, which is C and recurses, would take the process down."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_LIMIT:
            raise invalid(f"{INVALID}: the document is nested too deeply.")


def _check_size(documents: list[Any]) -> None:
    """Refuse what grows without bound when aliases are written out; one that holds itself does."""
    ahead: list[Any] = list(documents)
    seen = 0
    while ahead:
        one = ahead.pop()
        if isinstance(one, dict):
            ahead.extend(one.values())
        elif isinstance(one, (list, tuple, set)):
            ahead.extend(one)
        seen += 1
        if seen + len(ahead) > NODE_LIMIT:
            raise invalid(f"{INVALID}: with its aliases written out it has more than {NODE_LIMIT:,} values.")


def _parse(kind: str, document: dict[str, Any], failure: str) -> Any:
    """Parse a message as strictly as the real server: an unknown field is an error."""
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2  # slow to load: a start does not wait for it

    try:
        text = json.dumps(document, allow_nan=False)
        return json_format.Parse(text, getattr(pipeline_spec_pb2, kind)())
    except (json_format.ParseError, ValueError, TypeError, RecursionError) as error:
        said = " ".join(str(error).split())[:300]
        raise invalid(f"{failure}: {said}", COMPILE) from None


def _check(message: Any) -> None:
    if message.schema_version != "2.1.0":
        found = message.schema_version[:50]
        raise invalid(
            f"{INVALID}: KFP only supports schema version 2.1.0, but the pipeline spec has version {found}", COMPILE
        )
    name = message.pipeline_info.name
    if not name:
        raise invalid(f"{INVALID}: invalid v2 pipeline spec: name is empty")
    if len(name) > 128 or not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise invalid(
            "pipeline's name must contain only lowercase alphanumeric characters or '-', must start with "
            "alphanumeric characters and have no more than 128 of them"
        )
    if not message.HasField("root"):
        raise invalid(f"{INVALID}: invalid v2 pipeline spec: root component is empty")
