"""Buckets as code: what the file that lists them says, and how an S3 server is brought to it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.s3 import explained, list_buckets

CHART = "charts/minio"

RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


@dataclass(frozen=True)
class Change:
    """What applying the file meant for one bucket.

    Attributes:
        bucket: The bucket's name.
        state: ``created``, ``unchanged``, or ``kept`` for a bucket of the server that the file does not name.
    """

    bucket: str
    state: Literal["created", "unchanged", "kept"]

    def __str__(self) -> str:
        return f"{self.bucket}: {'kept, not in the file' if self.state == 'kept' else self.state}"


def broken_rule(name: str) -> str:
    """Say which naming rule a bucket name breaks.

    Args:
        name: The bucket's name.

    Returns:
        The rule, in words, or an empty string for a legal name.
        Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    """
    if not 3 <= len(name) <= 63:
        return f"a bucket name has 3 to 63 characters, this one has {len(name)}"
    if not re.fullmatch(r"[a-z0-9.-]+", name):
        return "a bucket name holds lowercase letters, digits, dots and hyphens only"
    if not (name[0].isalnum() and name[-1].isalnum()):
        return "a bucket name begins and ends with a letter or a digit"
    if ".." in name:
        return "a bucket name has no two dots in a row"
    if re.fullmatch(r"(\d+\.){3}\d+", name):
        return "a bucket name does not look like an IP address"
    for prefix in RESERVED_PREFIXES:
        if name.startswith(prefix):
            return f"a bucket name does not begin with {prefix!r}, which S3 reserves"
    for suffix in RESERVED_SUFFIXES:
        if name.endswith(suffix):
            return f"a bucket name does not end with {suffix!r}, which S3 reserves"
    return ""


def read_config(path: Path) -> list[str]:
    """Read the buckets that a ``config.yaml`` lists.

    Args:
        path: The file.

    Returns:
        The bucket names, in the file's order.

    Raises:
        SandboxError: If there is no such file, or it breaks a rule; the message says file, line and rule.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise SandboxError(f"There is no file {path}.", "Name the file that lists the buckets.") from None
    except UnicodeDecodeError:
        raise SandboxError(f"{path} is not a text file in UTF-8.", "Save it as UTF-8 text.") from None
    return parse_config(text, str(path))


def parse_config(text: str, source: str) -> list[str]:
    """Read the buckets that the text of a ``config.yaml`` lists.

    Args:
        text: The YAML text.
        source: What messages call it, e.g. the file's path.

    Returns:
        The bucket names, in the file's order.

    Raises:
        SandboxError: If the text breaks a rule; the message says source, line and rule.
    """

    def refuse(node: yaml.Node | None, rule: str) -> SandboxError:
        line = node.start_mark.line + 1 if node else 1
        return SandboxError(f"{source}:{line}: {rule}.", f"Correct line {line}; no bucket was changed.")

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise SandboxError(
            f"{source}:{line}: this is not YAML: {problem}.", f"Correct line {line}; no bucket was changed."
        ) from None

    entries = _mapping(root, "the file", ("chart_path", "buckets"), refuse)
    chart = entries["chart_path"]
    if chart.value != CHART:
        raise refuse(chart, f"chart_path must be {CHART}")
    if not isinstance(entries["buckets"], yaml.SequenceNode):
        raise refuse(entries["buckets"], "buckets must be a list of '- name: <bucket>'")

    names: dict[str, int] = {}
    for item in entries["buckets"].value:
        node = _mapping(item, "a bucket", ("name",), refuse)["name"]
        if node.tag != "tag:yaml.org,2002:str":
            raise refuse(node, "a bucket's name must be text; put it in quotes")
        name = str(node.value)
        if rule := broken_rule(name):
            raise refuse(node, f"illegal bucket name {name!r}: {rule}")
        if name in names:
            raise refuse(node, f"the bucket {name!r} is here twice, first in line {names[name]}")
        names[name] = node.start_mark.line + 1
    return list(names)


def _mapping(node: yaml.Node | None, what: str, keys: Sequence[str], refuse: Any) -> dict[str, yaml.Node]:
    """The values of a mapping that has exactly these keys."""
    expected = " and ".join(f"{key!r}" for key in keys)
    if not isinstance(node, yaml.MappingNode):
        raise refuse(node, f"{what} must be a mapping with {expected}")
    values: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if key.value not in keys:
            raise refuse(key, f"unknown key {key.value!r}; {what} has {expected}")
        if key.value in values:
            raise refuse(key, f"the key {key.value!r} is here twice")
        values[key.value] = value
    for name in keys:
        if name not in values:
            raise refuse(node, f"{what} has no {name!r}")
    return values


def apply(names: Sequence[str], client: Any) -> list[Change]:
    """Create the buckets that are missing. Nothing is ever deleted, and a second call changes nothing.

    Args:
        names: The buckets that there should be.
        client: An S3 client, see `s3.client`.

    Returns:
        A change for each name, in order, then one for each bucket that only the server knows.

    Raises:
        SandboxError: If the server cannot be reached, refuses the credentials, or a name belongs to another owner.
    """
    with explained(client):
        present = list_buckets(client)
        changes = [Change(name, "unchanged" if name in present else _create(name, client)) for name in names]
    return changes + [Change(name, "kept") for name in present if name not in names]


def _create(name: str, client: Any) -> Literal["created", "unchanged"]:
    region = client.meta.region_name
    # us-east-1 is the one region that must not be named: it is the default.
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        client.create_bucket(Bucket=name, **place)
    except client.exceptions.ClientError as error:
        taken = error.response["Error"]["Code"] in ("BucketAlreadyExists", "BucketAlreadyOwnedByYou")
        if taken and name in list_buckets(client):  # another call was faster
            return "unchanged"
        raise
    return "created"
