"""Files: the digest of their bytes, and writing them whole or not at all. All of it travels."""

import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def file_digest(path: str, algorithm: str) -> str:
    """The digest of a file's bytes in hexadecimal digits: ``md5``, which is what DVC records, or ``sha256``."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def write_whole(target: str, write: "Callable[[str], object]") -> None:
    """Write a file whole or not at all: who reads it meanwhile sees the old one, or none.

    Args:
        target: The file; its folder is made when missing.
        write: Writes the bytes to the path that it is given, which is in the same folder.
    """
    os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
    partial = f"{target}.{os.getpid()}.partial"
    try:
        write(partial)
        os.replace(partial, target)
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def file_md5(path: str) -> str:
    """The md5 of a file: a former name, kept for one release; use `file_digest`."""
    return file_digest(path, "md5")


def rankings_digest(path: str) -> str:
    """The sha256 of a file: a former name, kept for one release; use `file_digest`."""
    return file_digest(path, "sha256")
