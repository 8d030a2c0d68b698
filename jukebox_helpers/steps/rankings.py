"""Rankings: where a revision says that they come from, and the very bytes that a model saw.

The songs are versioned with DVC; the rankings are kept by the hash of their bytes, so that lineage has no hole.

All functions travel: their source is part of compiled pipelines, so they import what they need inside.
"""

import json
import os
import urllib.parse

from jukebox_helpers.steps.constants import CACHE_BUCKET, RANKINGS_HASH, RANKINGS_SOURCE
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.steps.sample_rankings import make_rankings
from jukebox_helpers.steps.transfer import fetch, load_object


def rankings_source(folder: str) -> str:
    """Where the rankings of a revision come from: the key ``rankings`` of its ``default_parameters.json``.

    Args:
        folder: The checkout of the revision.

    Returns:
        An address, ``s3://…`` or ``https://…``, or ``sample``: rankings made up for the songs at hand, which is
        also what a revision without the key gets.

    Raises:
        ValueError: If the file is not JSON, or says something else.
    """
    file = os.path.join("3-prod_datascience", "default_parameters.json")
    try:
        with open(os.path.join(folder, file), encoding="utf-8") as text:
            source = json.load(text).get("rankings", "sample")
    except FileNotFoundError:
        return "sample"
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"{file} of this revision is not a JSON object ({error}). Next: correct it, commit and push."
        ) from None
    if source != "sample" and not str(source).startswith(("s3://", "https://")):
        raise ValueError(
            f"{file} of this revision has {source!r} as its rankings, which is neither an s3:// or https:// address "
            'nor "sample". Next: correct it, commit and push.'
        )
    return source


def fetch_rankings(source: str, songs_path: str, rankings_path: str) -> dict:
    """Bring the rankings, and keep their bytes under their hash beside the versioned data.

    Args:
        source: What `rankings_source` returns, or the key of an object of ``data-cache`` by hash:
            ``rankings/<sha256>.parquet``, which reproduces a model.
        songs_path: The songs that the rankings are for, Parquet.
        rankings_path: The file to write.

    Returns:
        What lineage needs: ``rankings sha256`` and ``rankings source``.

    Raises:
        ConnectionError: If the source cannot be reached.
        FileNotFoundError: If the object or the bucket is missing.
        ValueError: If an object by hash has other bytes than its name says.
    """
    by_hash = source.startswith("rankings/")
    if source == "sample":
        make_rankings(rankings_path, songs_path)
    else:
        named_by = "the key rankings in 3-prod_datascience/default_parameters.json"
        fetch(f"s3://data-cache/{source}" if by_hash else source, rankings_path, named_by)
    digest = file_digest(rankings_path, "sha256")
    kept = f"rankings/{digest}.parquet"
    if by_hash and source != kept:
        raise ValueError(
            f"s3://data-cache/{source} has other bytes than its name says ({digest}). "
            "Next: restore the object; nothing may write to data-cache by hand."
        )
    if not by_hash:
        load_object(rankings_path, kept, CACHE_BUCKET)
    # A query may hold a signature, which is not for the record.
    shown = urllib.parse.urlsplit(source)._replace(query="", fragment="").geturl()
    return {RANKINGS_HASH: digest, RANKINGS_SOURCE: "made up (sample)" if source == "sample" else shown}


def refuse_made_up(facts: dict, prod_flag: bool) -> None:
    """Refuse to train for production on rankings that were made up.

    Args:
        facts: What was recorded of the rankings: ``rankings source``.
        prod_flag: Whether the model goes to production.

    Raises:
        ValueError: If it does, and they were.
    """
    if prod_flag and str(facts.get(RANKINGS_SOURCE, "")).startswith("made up"):
        raise ValueError(
            "The rankings of this revision are made up (sample), and prod_flag asks for a model for production. "
            'Next: name the address of real rankings as "rankings" in 3-prod_datascience/default_parameters.json, '
            "commit and push."
        )
