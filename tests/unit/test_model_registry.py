"""The one way to the model registry, on both platforms."""

from pathlib import Path

import pytest

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.registry import model_registry
from jukebox_helpers.settings import Settings
from jukebox_helpers.steps import registry


def test_a_sandbox_opens_its_own_registry(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/registry.db"
    models = model_registry(Settings("sandbox", tmp_path, "user1-toolings", "http://127.0.0.1:9", "", database))
    models.register("song", "0123456789", "s3://models/song", {"model sha256": "0" * 64})
    assert models.models() == ["song"] and (tmp_path / "registry.db").is_file()


def test_a_workbench_opens_the_clusters_whatever_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(registry, "KubeflowRegistry", asked.append)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/registry.db")
    model_registry(Settings("rhoai", tmp_path, "user1-toolings", "apps.c.example.com", ""))
    assert asked == ["https://user1-registry-rest.apps.c.example.com"]


def test_an_unknown_cluster_domain_and_a_wrong_registry_are_errors_of_ours(tmp_path: Path) -> None:
    with pytest.raises(JukeboxError, match=r"does not know its cluster domain.*\nNext: Run ./jukebox doctor"):
        model_registry(Settings("rhoai", tmp_path, "user1-toolings", "", ""))
    with pytest.raises(JukeboxError, match=r"MLFLOW_TRACKING_URI is 'redis://x'.\nNext: Set it"):
        model_registry(Settings("sandbox", tmp_path, "user1-toolings", "http://127.0.0.1:9", "", "redis://x"))
