"""Files: the digest of their bytes."""


def file_digest(path: str, algorithm: str) -> str:
    """The digest of a file's bytes, read in blocks.

    This function travels into pipeline steps.

    Args:
        path: The file.
        algorithm: ``md5``, which is what DVC records, or ``sha256``.

    Returns:
        Hexadecimal digits.
    """
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def file_md5(path: str) -> str:
    """The md5 of a file: a former name, kept for one release; use `file_digest`."""
    return file_digest(path, "md5")


def rankings_digest(path: str) -> str:
    """The sha256 of a file: a former name, kept for one release; use `file_digest`."""
    return file_digest(path, "sha256")
