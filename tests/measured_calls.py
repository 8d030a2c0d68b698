"""Calls that a benchmark measures, in a process that imports nothing else."""

from pathlib import Path


def spend(megabytes: int, folder: str) -> int:
    """Hold and write so much."""
    content = b"x" * (megabytes * 1_000_000)
    Path(folder, "inner").mkdir()
    Path(folder, "inner", "file").write_bytes(content[:2_000_000])
    return len(content)


def fail(folder: str) -> None:
    """Fail."""
    raise ValueError("what went wrong")
