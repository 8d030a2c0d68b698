"""The one digest of a file."""

import ast
import hashlib
from pathlib import Path

import pytest

import jukebox_helpers
from jukebox_helpers.steps.files import file_digest


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
@pytest.mark.parametrize("size", [0, 5, 3_000_000])
def test_the_digest_is_that_of_all_bytes(tmp_path: Path, algorithm: str, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (tmp_path / "file").write_bytes(content)
    assert file_digest(str(tmp_path / "file"), algorithm) == hashlib.new(algorithm, content).hexdigest()


def test_no_other_module_hashes_files_itself() -> None:
    """Only streams of S3 are hashed elsewhere: they are no files."""
    library = Path(jukebox_helpers.__file__).parent
    others = {
        str(file.relative_to(library))
        for file in library.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "file_digest" and ast.unparse(node.value) == "hashlib"
    }
    assert others == {"steps/files.py", "steps/data_cache.py"}
