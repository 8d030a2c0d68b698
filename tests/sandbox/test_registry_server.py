"""The model registry of a running sandbox, at its one address."""

import json
import stat
import urllib.error
import urllib.request

import pytest

from jukebox_sandbox import state as state_module
from jukebox_sandbox.supervisor import make_secrets

PATH = "/api/model_registry/v1alpha3/registered_models"


def ask(settings, token):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(settings.cluster_domain + PATH, headers=headers)) as answer:
        return json.loads(answer.read())


def test_it_answers_who_has_the_secret_s_token_and_nobody_else(sandbox):
    token = sandbox.secret("pipeline-server")["token"]
    assert stat.S_IMODE((sandbox.secrets / "pipeline-server" / "token").stat().st_mode) == 0o600
    assert isinstance(ask(sandbox, token)["items"], list)
    for wrong in ("", sandbox.secret("git-auth")["password"]):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(sandbox, wrong)
    folder = sandbox.state / "pipeline-server"
    kept = [file.read_bytes() for file in folder.rglob("*") if file.is_file() and "scratch" not in file.parts]
    assert not any(token.encode() in content for content in kept)
    assert token not in (sandbox.state / "platform.json").read_text()


def test_a_state_of_an_older_kit_gets_the_token_and_keeps_it(tmp_path):
    make_secrets(tmp_path)
    secrets = {name: state_module.read_secret(tmp_path, name) for name in ("git-auth", "sandbox", "pipeline-server")}
    token = tmp_path / "secrets" / "pipeline-server" / "token"
    for lost in ("", None):  # a start that was ended while it wrote; a kit that knew no such Secret
        token.write_text("") if lost == "" else token.unlink()
        make_secrets(tmp_path)
        assert len(token.read_text()) > 30 and token.read_text() != secrets["pipeline-server"]["token"]
    new = token.read_text()
    make_secrets(tmp_path)
    assert token.read_text() == new
    for name in ("git-auth", "sandbox"):
        assert state_module.read_secret(tmp_path, name) == secrets[name]
