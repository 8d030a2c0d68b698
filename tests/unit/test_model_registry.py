"""The one way to the model registry, on both platforms."""

from pathlib import Path

import pytest
from registry_server import TOKEN, RegistryServer

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import registry
from jukebox_helpers.pipelines.registry import model_registry
from jukebox_helpers.settings import Settings


def a_sandbox(state: Path, url: str, token: str = TOKEN) -> Settings:
    """The settings of a sandbox whose registry is at an address."""
    (state / "secrets" / "pipeline-server").mkdir(parents=True)
    (state / "secrets" / "pipeline-server" / "token").write_text(token)
    token_file = state / "secrets" / "pipeline-server" / "token"
    return Settings("sandbox", state, "user1-toolings", url, "", token_file=token_file)


def test_a_sandbox_opens_its_own_registry_with_its_own_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "another").write_text("of a workbench")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "another"))
    server = RegistryServer()
    models = model_registry(a_sandbox(tmp_path, server.url))
    models.register("song", "0123456789", "s3://models/song", {"model sha256": "0" * 64})
    assert models.models() == ["song"]
    assert set(server.proxy.tokens) == {f"Bearer {TOKEN}"}
    server.close()


def test_a_workbench_opens_the_clusters_with_its_service_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(registry, "PlatformRegistry", lambda url, token: asked.append((url, token)))
    model_registry(Settings("rhoai", tmp_path, "user1-toolings", "apps.c.example.com", ""))
    assert asked == [("https://user1-registry-rest.apps.c.example.com", "")]


def test_an_unknown_cluster_domain_and_a_registry_that_is_not_there_are_errors_of_ours(tmp_path: Path) -> None:
    with pytest.raises(JukeboxError, match=r"does not know its cluster domain.*\nNext: Run ./jukebox doctor"):
        model_registry(Settings("rhoai", tmp_path, "user1-toolings", "", ""))
    with pytest.raises(JukeboxError, match=r"http://127.0.0.1:9 cannot be reached .*\nNext: Check"):
        model_registry(a_sandbox(tmp_path, "http://127.0.0.1:9"))
