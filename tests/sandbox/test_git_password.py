"""The git password goes to the platform's git server only: real git against servers that write down what they get."""

import os
import subprocess

import pytest
from loopback import GIT_PASSWORD as PASSWORD
from loopback import RecordingGitServer

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.revisions import git_credentials, repository_argument, server_head
from jukebox_helpers.settings import Settings
from jukebox_helpers.steps import data_versions, git_password
from jukebox_helpers.steps.git import clone_main, git
from jukebox_helpers.workshop.place import Workplace

QUOTED = [
    r"back\slash\\n\t\0101\c",
    'double"quote',
    "single'quote",
    "$HOME${HOME}$(id)",
    "100%s %d %% %b",
    "`id` ; & | < > ( ) #",
    " blanks  at both ends ",
    "Ünï cödé ♫ 密码",
    "-n -e \\c",
    "*?[a-z]~!!{a,b}",
    "https://user:pw@other.example:80/a?b=c#d%41+e",
    "password=x,quit=1;host=other.example",
    "\ttab\vbell\a\x1b[31m",
]
NO_LINE = ["two\nlines", "x\nhost=other.example\npassword=y", "carriage\r\nreturn"]
"""What git cannot send: its helpers answer line by line (https://git-scm.com/docs/git-credential)."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with the repository user1/jukebox.git."""
    root = tmp_path_factory.mktemp("git")
    bare = root / "user1" / "jukebox.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", bare], check=True)
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    tree = subprocess.run(["git", "mktree"], input="", capture_output=True, text=True, cwd=bare).stdout.strip()
    git(
        "update-ref",
        "refs/heads/main",
        git(*identity, "commit-tree", tree, "-m", "first", folder=str(bare)),
        folder=bare,
    )
    return root


@pytest.fixture
def start(root):
    """Start recording servers."""
    started = []

    def start(**options):
        started.append(RecordingGitServer(root, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def platform(start, monkeypatch, tmp_path):
    """The platform's git server, as a step knows it: by name, with the Secret ``git-auth`` beside."""
    server = start()
    monkeypatch.setenv("HOME", str(tmp_path))
    for key, value in {"username": "user1", "password": PASSWORD, "JUKEBOX_GIT_SERVER": server.url}.items():
        monkeypatch.setenv(key, value)
    return server


@pytest.mark.parametrize("password", QUOTED)
def test_every_password_arrives_as_it_is(start, monkeypatch, tmp_path, password):
    server = start(password=password)
    for key, value in {"username": "user1", "password": password, "JUKEBOX_GIT_SERVER": server.url}.items():
        monkeypatch.setenv(key, value)
    folder = tmp_path / "clone"
    clone_main(f"{server.url}/user1/jukebox.git", str(folder))
    git("push", "--quiet", "origin", "main:refs/heads/copy", folder=str(folder))
    assert set(server.seen) == {server.expected}
    assert password not in (folder / ".git" / "config").read_text()


@pytest.mark.parametrize("password", NO_LINE)
def test_a_password_of_several_lines_is_refused_and_goes_nowhere_else(start, monkeypatch, tmp_path, password):
    server, other = start(password=password), start(password=password)
    for key, value in {"username": "user1", "password": password, "JUKEBOX_GIT_SERVER": server.url}.items():
        monkeypatch.setenv(key, value)
    with pytest.raises((PermissionError, ConnectionError), match="git-auth|git clone failed") as refused:
        clone_main(f"{server.url}/user1/jukebox.git", str(tmp_path / "clone"))
    assert password not in str(refused.value) and "Next: " in str(refused.value)
    assert other.requests == []


@pytest.mark.parametrize("status", [301, 303, 307, 308])
def test_no_kind_of_redirect_carries_it_on(platform, start, tmp_path, status):
    other = start()
    platform.redirect, platform.redirect_status = other.url, status
    with pytest.raises(ConnectionError, match=f"error: {status}"):
        clone_main(f"{platform.url}/user1/jukebox.git", str(tmp_path / "clone"))
    assert other.seen == other.requests == []


def test_a_push_is_not_redirected_with_it(platform, start, tmp_path):
    other, folder = start(), tmp_path / "clone"
    clone_main(f"{platform.url}/user1/jukebox.git", str(folder))
    platform.redirect = other.url
    with pytest.raises(ConnectionError, match="git push failed"):
        git("push", "--quiet", "origin", "main:refs/heads/elsewhere", folder=str(folder))
    assert other.seen == other.requests == []


@pytest.mark.parametrize("asks", [True, False])
def test_another_server_never_gets_it(platform, start, tmp_path, asks):
    other = start(password=PASSWORD if asks else None)
    repo_url = f"{other.url}/user1/jukebox.git"
    for call in (clone_main, data_versions.fetch_data_version):
        with pytest.raises(ValueError, match=f"not on the platform's git server {platform.url}.*Next: give an address"):
            call(repo_url, *[str(tmp_path / "x")] * (2 if call is not clone_main else 1))
    with pytest.raises(ValueError, match="not on the platform's git server"):
        data_versions.commit_data_version(repo_url, "x")
    assert other.requests == []
    # Not even where nothing looks at the address first.
    if asks:
        with pytest.raises(PermissionError, match=rf"No password was sent: .* for {platform.url} only\. Next:"):
            git("ls-remote", repo_url)
    else:
        assert git("ls-remote", repo_url, "refs/heads/main")
    assert other.requests and other.seen == []


@pytest.mark.parametrize("asks", [True, False])
def test_a_redirect_does_not_carry_it_on(platform, start, tmp_path, asks):
    other = start()
    platform.redirect = other.url
    platform.expected = platform.expected if asks else None
    with pytest.raises(ConnectionError, match="git clone failed: .*error: 302.* Next: check the address"):
        clone_main(f"{platform.url}/user1/jukebox.git", str(tmp_path / "clone"))
    assert bool(platform.seen) == asks and other.seen == other.requests == []


def test_a_submodule_elsewhere_does_not_get_it(platform, start, tmp_path):
    other, folder = start(), tmp_path / "clone"
    clone_main(f"{platform.url}/user1/jukebox.git", str(folder))
    (folder / ".gitmodules").write_text(f'[submodule "x"]\n\tpath = x\n\turl = {other.url}/user1/jukebox.git\n')
    head = git("rev-parse", "HEAD", folder=str(folder))
    git("update-index", "--add", "--cacheinfo", f"160000,{head},x", folder=str(folder))
    with pytest.raises(PermissionError, match="No password was sent"):
        git("submodule", "update", "--init", folder=str(folder))
    assert other.requests and other.seen == []


def test_no_other_credential_helper_is_asked_or_learns_it(platform, tmp_path):
    """As a helper of the machine would: it hears every question, and every password that was right."""
    heard = tmp_path / "heard"
    (tmp_path / ".gitconfig").write_text(f'[credential]\n\thelper = "!cat >> {heard}; :"\n')
    clone_main(f"{platform.url}/user1/jukebox.git", str(tmp_path / "clone"))
    assert set(platform.seen) == {platform.expected}
    assert not heard.exists()


def test_where_the_server_is_unknown_nobody_gets_it(platform, monkeypatch, tmp_path):
    monkeypatch.delenv("JUKEBOX_GIT_SERVER")
    with pytest.raises(PermissionError, match="could not be found. Next: .*JUKEBOX_GIT_SERVER=https://"):
        clone_main(f"{platform.url}/user1/jukebox.git", str(tmp_path / "clone"))
    assert platform.requests and platform.seen == []


def test_the_head_of_another_server_is_asked_for_without_it(platform, start, tmp_path):
    other = start()
    secret = tmp_path / "secrets" / "git-auth"
    secret.mkdir(parents=True)
    for key, value in (("username", "user1"), ("password", PASSWORD)):
        (secret / key).write_text(value)
    settings = Settings("sandbox", tmp_path, "user1-toolings", platform.url, "")
    assert server_head(settings, f"{other.url}/user1/jukebox.git") == ""
    assert other.requests and other.seen == []
    assert server_head(settings, f"{platform.url}/user1/jukebox.git")
    assert repository_argument(settings, None) == f"{platform.url}/user1/jukebox.git"
    with pytest.raises(JukeboxError, match="not on the platform's git server") as refused:
        repository_argument(settings, f"{other.url}/user1/jukebox.git")
    assert refused.value.next_action.startswith("Give an address on")


def test_a_workbench_terminal_gives_it_to_the_platform_only(platform, start, monkeypatch, tmp_path):
    other = start()
    for key in ("PATH", "DVC_NO_ANALYTICS", "TERM", "AWS_ENDPOINT_URL", "GIT_CONFIG_COUNT"):
        monkeypatch.setenv(key, os.environ.get(key, ""))  # what enter() changes goes again
    for key in ("GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0", "GIT_CONFIG_KEY_1", "GIT_CONFIG_VALUE_1"):
        monkeypatch.setenv(key, "")
    stored = tmp_path / "stored"
    (tmp_path / ".gitconfig").write_text(f'[credential]\n\thelper = "store --file {stored}"\n')
    settings = Settings("rhoai", tmp_path, "user1-toolings", platform.url, "", environment=dict(os.environ))
    Workplace(settings).enter()
    heads = [
        subprocess.run(["git", "ls-remote", f"{url}/user1/jukebox.git"], capture_output=True, text=True)
        for url in (platform.url, other.url)
    ]
    assert "refs/heads/main" in heads[0].stdout, heads[0].stderr
    assert "could not read Username" in heads[1].stderr and other.requests and other.seen == []
    assert not stored.exists()


def test_credentials_come_with_their_server_and_go_with_it(sandbox):
    with git_credentials(sandbox):
        assert git_password.git_server() == sandbox.cluster_domain
    assert git_password.git_server() == "" and "password" not in os.environ
