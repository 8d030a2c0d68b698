"""Rankings: where a revision says that they come from, and the very bytes that a model saw. All of it travels.

The songs are versioned with DVC; the rankings are kept by the hash of their bytes, so that lineage has no hole.
"""

import json
import os

from jukebox_helpers.steps.constants import CACHE_BUCKET, PARAMETERS_FILE, RANKINGS_HASH, RANKINGS_SOURCE
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.steps.messages import shown, without_secrets
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
    try:
        with open(os.path.join(folder, PARAMETERS_FILE), encoding="utf-8") as text:
            source = json.load(text).get("rankings", "sample")
        said = shown(without_secrets(source) if isinstance(source, str) else source)
        problem = f'has {said} as its rankings, which is neither an s3:// or https:// address nor "sample"'
    except FileNotFoundError:
        return "sample"
    except (ValueError, AttributeError, RecursionError) as error:
        source, problem = "", f"is not a JSON object ({shown(str(error))})"
    if source != "sample" and not str(source).startswith(("s3://", "https://")):
        raise ValueError(f"{PARAMETERS_FILE} of this revision {problem}. Next: correct it, commit and push.")
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
        ValueError: If an object by hash has other bytes than its name says; the rest is as in `transfer.fetch`.
    """
    by_hash = source.startswith("rankings/")
    if source == "sample":
        make_rankings(rankings_path, songs_path)
    else:
        fetch(
            f"s3://data-cache/{source}" if by_hash else source, rankings_path, f"the key rankings in {PARAMETERS_FILE}"
        )
    digest = file_digest(rankings_path, "sha256")
    kept = f"rankings/{digest}.parquet"
    if not by_hash:
        load_object(rankings_path, kept, CACHE_BUCKET)
    elif source != kept:
        raise ValueError(
            f"s3://data-cache/{source} has other bytes than its name says ({digest}). "
            "Next: restore the object, and write nothing there by hand."
        )
    return {
        RANKINGS_HASH: digest,
        RANKINGS_SOURCE: "made up (sample)" if source == "sample" else without_secrets(source),
    }


def refuse_made_up(facts: dict, prod_flag: bool) -> None:
    """Refuse to train for production on rankings that were made up, as ``rankings source`` of the facts says."""
    if prod_flag and str(facts.get(RANKINGS_SOURCE, "")).startswith("made up"):
        raise ValueError(
            "The rankings of this revision are made up (sample), and prod_flag asks for a model for production. "
            'Next: name the address of real rankings as "rankings" in 3-prod_datascience/default_parameters.json, '
            "commit and push."
        )
