"""Buckets as code: the file of ``mlops-gitops`` that lists the buckets."""

import re
from pathlib import Path

import yaml

from jukebox_helpers.errors import JukeboxError

CONFIG = "toolings/minio/config.yaml"
"""Where the buckets are listed, in the repository ``mlops-gitops``."""

LEGAL_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""


def listed_buckets(text: str, source: str) -> list[str]:
    """The names of the buckets that the text of a ``config.yaml`` lists, in order; ``source`` is what messages call it.

    The platform checks every rule when the file is pushed; here the commonest one is. What is not such a list is a
    `JukeboxError`, with the line where there is one.
    """
    try:
        names = [str(bucket["name"]) for bucket in yaml.safe_load(text)["buckets"]]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise JukeboxError(f"{source}{line}: this is not YAML: {problem}.", "Correct the file.") from None
    except (TypeError, KeyError):
        raise JukeboxError(
            f"{source}: under 'buckets:' there must be lines '- name: <bucket>'.", "Correct the file."
        ) from None
    for name in names:
        if not LEGAL_NAME.fullmatch(name):
            at = next(number for number, line in enumerate(text.splitlines(), 1) if name in line)
            raise JukeboxError(
                f"{source}:{at}: illegal bucket name {name!r}: 3 to 63 lowercase letters, digits, dots and hyphens.",
                f"Correct line {at}.",
            )
    return names


def read_buckets(file: Path) -> list[str]:
    """The buckets that a ``config.yaml`` lists; see `listed_buckets`."""
    try:
        return listed_buckets(file.read_text(encoding="utf-8"), str(file))
    except FileNotFoundError:
        raise JukeboxError(f"There is no file {file}.", f"Restore it: git checkout -- {CONFIG}") from None
    except UnicodeDecodeError:
        raise JukeboxError(f"{file} is not a text file in UTF-8.", "Save it as UTF-8 text.") from None
