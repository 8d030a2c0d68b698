"""The one digest of a file."""

import ast
import hashlib
from pathlib import Path

import pytest
from library_source import modules_with

from jukebox_helpers.steps.files import file_digest, write_whole


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
@pytest.mark.parametrize("size", [0, 5, 3_000_000])
def test_the_digest_is_that_of_all_bytes(tmp_path: Path, algorithm: str, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (tmp_path / "file").write_bytes(content)
    assert file_digest(str(tmp_path / "file"), algorithm) == hashlib.new(algorithm, content).hexdigest()


def test_a_file_is_written_whole_into_a_folder_that_is_made(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "table"
    for text in ("first", "second"):
        write_whole(str(target), lambda path, text=text: Path(path).write_text(text))
        assert target.read_text() == text and list(target.parent.iterdir()) == [target]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "table"
    target.write_text("old")

    def write(path: str) -> None:
        Path(path).write_text("half")
        assert target.read_text() == "old"
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        write_whole(str(target), write)
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_no_other_module_hashes_files_itself() -> None:
    """Only streams of S3 are hashed elsewhere: they are no files."""
    others = modules_with(lambda node: isinstance(node, ast.Attribute) and ast.unparse(node) == "hashlib.file_digest")
    assert others == {"steps/files.py", "steps/data_cache.py"}
