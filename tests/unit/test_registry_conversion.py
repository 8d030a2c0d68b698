"""The models of an older sandbox, from MLflow's tables, in the registry of this one."""

import sqlite3
from pathlib import Path

import pytest
from registry_server import RegistryServer

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server.registry.conversion import convert

DUMP = Path(__file__).parents[1] / "data" / "registry-of-version-1.sql"


@pytest.fixture
def file(tmp_path):
    (tmp_path / "registry").mkdir()
    with sqlite3.connect(tmp_path / "registry" / "registry.db") as connection:
        connection.executescript(DUMP.read_text(encoding="utf-8"))
    return tmp_path / "registry" / "registry.db"


@pytest.fixture
def server():
    server = RegistryServer()
    yield server
    server.close()


def test_every_version_is_there_with_its_facts_and_time_and_only_once(server, file):
    before = file.read_bytes()
    assert convert(server.engine, file) == 3
    registry = server.open()
    first = {
        "name": "jukebox",
        "version": "3f2c1d4e5a",
        "uri": "s3://models/jukebox/3f2c1d4e5a/model.onnx",
        "metadata": {
            "model sha256": "aaaa",
            "DVC training data hash": "0123",
            "metric.accuracy": 0.5,
            "metric.best": 1.0,
            "epochs": 3,
            "bytes": 5_000_000_000,
            "converged": True,
            "note": 'über "all"',
        },
        "created_at": "2026-11-25T04:29:21+00:00",
        "production": False,
    }
    versions = registry.versions("jukebox")
    assert versions[0] == first and type(versions[0]["metadata"]["metric.best"]) is float
    assert [(one["version"], one["production"]) for one in versions] == [("3f2c1d4e5a", False), ("9b8a7c6d5e", True)]
    assert registry.models() == ["empty", "jukebox", "song_hits"]
    assert registry.find("song_hits", "v1")["metadata"] == {"model sha256": "cccc"}
    # The same model again is known; another one is refused.
    assert registry.register("jukebox", "3f2c1d4e5a", first["uri"], {"model sha256": "aaaa"}) == first
    assert convert(server.engine, file) == 0
    assert registry.versions("jukebox") == versions and file.read_bytes() == before


def test_what_was_registered_since_is_not_touched(server, file):
    record = server.open().register("mine", "v1", "s3://m/k", {"model sha256": "d"})
    assert convert(server.engine, file) == 0
    assert server.open().models() == ["mine"] and server.open().versions("mine") == [record]


@pytest.mark.parametrize("content", [None, b""])
def test_a_sandbox_that_never_registered_has_nothing_to_copy(server, tmp_path, content):
    file = tmp_path / "registry.db"
    if content is not None:
        file.write_bytes(content)
    assert convert(server.engine, file) == 0


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE model_version_tags",
        "UPDATE model_version_tags SET value = '{' WHERE \"key\" = 'note'",
        "INSERT INTO registered_models (name, creation_time) VALUES ('Jukebox', 1)",
        "DELETE FROM registered_models WHERE name = 'song_hits'",
    ],
)
def test_a_damaged_file_is_said_and_nothing_of_it_is_copied(server, file, damage):
    with sqlite3.connect(file) as connection:
        connection.execute(damage)
    with pytest.raises(SandboxError, match=r"(?s)older registry .*registry.db cannot be read.*Next: Start without"):
        convert(server.engine, file)
    assert server.open().models() == []


def test_a_file_that_is_no_database_is_said(server, file):
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(SandboxError, match="cannot be read"):
        convert(server.engine, file)
