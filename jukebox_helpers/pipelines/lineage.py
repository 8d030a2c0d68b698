"""Lineage: from a model version to the exact bytes and the exact code that it was made of.

`trace` reads it from the registry, `verify` checks that what it names is still there, and `compare_digests` says
whether something that was rebuilt is the same. `jukebox_helpers.show.lineage` shows lineage to people.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.pipelines.registry import PlatformRegistry
from jukebox_helpers.steps.constants import DATA_HASH, MODEL_HASH, RANKINGS_HASH
from jukebox_helpers.steps.data_cache import cache_key
from jukebox_helpers.steps.metadata import read_json
from jukebox_helpers.steps.s3 import error_code, explained

NOT_RECORDED = "not recorded"
NOT_VERSIONED = "not versioned: nobody can say which bytes"

RECORDED_AS = {
    "file.sha256": MODEL_HASH,
    "code.repository": "git repository",
    "code.revision": "git revision",
    "data.file": "DVC data path",
    "data.md5": DATA_HASH,
    "data.remotes": "DVC remotes",
    "data.rows": "songs rows",
    "rankings.sha256": RANKINGS_HASH,
    "rankings.rows": "rankings rows",
    "rankings.source": "rankings source",
    "preparation": "preparation",
    "parameters": "parameters",
    "packages": "packages",
    "run.python": "python",
    "run.pipeline run": "run",
    "run.kit version": "kit version",
}
"""Where lineage keeps what a model version's metadata holds."""

JSON_TEXTS = ("data.remotes", "preparation", "parameters", "packages")


@as_jukebox_error()
def trace(registry: PlatformRegistry, name: str, version: str | None = None) -> dict[str, Any]:
    """Trace a model version, the one registered last where none is given, to what it was made of.

    Returns lineage, fit for JSON: ``model``, ``version``, ``registered at``, ``production``, the sections ``file``,
    ``code``, ``data``, ``rankings``, ``preparation`` (what of the data was used), ``parameters``, ``metrics``,
    ``packages`` and ``run``, ``other`` metadata, and ``missing``: by its dotted place, why a value that is None is not
    known. A model or version that the registry does not have is a JukeboxError.
    """
    record = registry.find(name, version) if version else registry.latest(name)
    if record is None:
        raise unknown(registry, name, version)
    metadata = dict(record["metadata"])
    lineage: dict[str, Any] = {
        "model": record["name"],
        "version": record["version"],
        "registered at": record["created_at"],
        "production": record["production"],
        "file": {"uri": record["uri"]},
        "metrics": {key.removeprefix("metric."): metadata.pop(key)
                    for key in sorted(metadata) if key.startswith("metric.")},
    }  # fmt: skip
    missing = {}
    for place, key in RECORDED_AS.items():
        value = metadata.pop(key, None)
        if place in JSON_TEXTS and value is not None:
            value = read_json(value)
        if value is None:
            missing[place] = NOT_VERSIONED if place == "data.md5" else NOT_RECORDED
        section, _, field = place.partition(".")
        if field:
            lineage.setdefault(section, {})[field] = value
        else:
            lineage[section] = value
    if not lineage["metrics"]:
        missing["metrics"] = NOT_RECORDED
    data, rankings = lineage["data"], lineage["rankings"]
    cache = (data["remotes"] or {}).get("s3-version", "s3://data-cache")
    md5, sha256 = data["md5"], rankings["sha256"]
    data["object"] = f"{cache}/{cache_key(md5)}" if md5 else None
    rankings["object"] = f"{cache}/rankings/{sha256}.parquet" if sha256 else None
    return lineage | {"other": metadata, "missing": missing}


def unknown(registry: PlatformRegistry, name: str, version: str | None) -> JukeboxError:
    """Say which models or versions there are, where one that was asked for is not."""
    versions = [record["version"] for record in registry.versions(name)]
    if versions and version:
        return JukeboxError(
            f"The model {name!r} has no version {version!r}. Its versions, newest first: "
            f"{', '.join(versions[:-11:-1])}.",
            f"./jukebox trace {name} {versions[-1]}",
        )
    models = ", ".join(registry.models())
    return JukeboxError(
        f"The registry has no version of a model {name!r}. " + (f"Its models: {models}." if models else "It is empty."),
        "Name one of them." if models else "Train one: ./jukebox run training-pipeline.",
    )


def verify(
    lineage: Mapping[str, Any], s3_client: Any, has_revision: Callable[[str, str], bool]
) -> list[dict[str, Any]]:
    """Check that what lineage names still exists, byte for byte.

    Returns for each thing ``what``, ``where``, ``expected``, ``found`` and ``same``. ``has_revision`` says whether a
    git repository (its URL) has a revision.
    """
    data, rankings, file, code = (lineage[section] for section in ("data", "rankings", "file", "code"))
    checks = []
    for what, where, expected, algorithm in (
        ("training data", data["object"], data["md5"], "md5"),
        ("rankings", rankings["object"], rankings["sha256"], "sha256"),
        ("model file", file["uri"], file["sha256"], "sha256"),
    ):
        found = object_digest(s3_client, where, algorithm) if expected else NOT_RECORDED
        checks.append({"what": what, "where": where, "expected": expected, "found": found, "same": found == expected})
    repository, revision = code["repository"], code["revision"]
    known = bool(repository and revision) and has_revision(repository, revision)
    found = revision if known else "no such revision" if revision else NOT_RECORDED
    return [*checks, {"what": "code", "where": repository, "expected": revision, "found": found, "same": known}]


def object_digest(s3_client: Any, uri: str, algorithm: str) -> str:
    """The md5 or sha256 of the bytes of an S3 object ``s3://<bucket>/<key>``, or the server's reason why there is none.

    A server that does not answer, or breaks off, is a JukeboxError: nothing is known of the object then.
    """
    address = urlsplit(uri)
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with as_jukebox_error(), explained(s3_client, uri):
        try:
            body = s3_client.get_object(Bucket=address.netloc, Key=address.path.lstrip("/"))["Body"]
        except ClientError as error:
            return f"no object: {error_code(error)}"
        for part in body.iter_chunks(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def compare_digests(expected: Mapping[str, str | None], rebuilt: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Compare what a model version recorded with what rebuilding it gave: digests by name, e.g. ``model sha256``.

    Returns for each name of either ``what``, ``expected``, ``found`` (None where there is none) and ``same``.
    """
    return [
        {
            "what": what,
            "expected": expected.get(what),
            "found": rebuilt.get(what),
            "same": expected.get(what) is not None and expected[what] == rebuilt.get(what),
        }
        for what in dict(expected) | dict(rebuilt)
    ]
