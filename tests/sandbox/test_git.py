"""The one way to run git."""

import ast
from pathlib import Path

import pytest
from library_source import modules_with

import jukebox_helpers
from jukebox_helpers import about, pack
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.steps.git import git
from jukebox_helpers.workshop.catching_up import snapshot


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, and an edit and a new file that are not committed."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "user1")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "user1@jukebox.invalid")
    folder = tmp_path / "repository"
    folder.mkdir()
    git("init", "--quiet", "--initial-branch=main", folder=str(folder))
    (folder / "song").write_text("la\n")
    git("add", "song", folder=str(folder))
    git("commit", "--quiet", "--message", "First", folder=str(folder))
    (folder / "song").write_text("la la\n")
    (folder / "diary").write_text("day one\n")
    return folder


def test_it_runs_with_the_variables_that_are_given(repository: Path, tmp_path: Path) -> None:
    before = git("status", "--porcelain", folder=str(repository))
    git("add", "--all", folder=str(repository), variables={"GIT_INDEX_FILE": str(tmp_path / "index")})
    assert (tmp_path / "index").is_file() and git("status", "--porcelain", folder=str(repository)) == before


def test_edits_are_kept_in_a_commit_and_nothing_of_the_clone_changes(repository: Path) -> None:
    head = git("rev-parse", "HEAD", folder=str(repository))
    before = git("status", "--porcelain", folder=str(repository))
    commit = snapshot(repository, head, "Kept")
    assert git("show", f"{commit}:song", folder=str(repository)) == "la la"
    assert git("show", f"{commit}:diary", folder=str(repository)) == "day one"
    assert git("rev-parse", f"{commit}^", folder=str(repository)) == head
    assert git("status", "--porcelain", folder=str(repository)) == before
    assert git("rev-parse", "HEAD", folder=str(repository)) == head


def test_edits_that_cannot_be_kept_are_named(repository: Path) -> None:
    with pytest.raises(JukeboxError, match=r"edits in .*repository cannot be kept: git read-tree failed.*\nNext: "):
        snapshot(repository, "0" * 40, "Kept")


def test_a_bundle_holds_head_and_its_branch_and_needs_a_repository(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pack, "KIT", repository)
    pack.bundle_kit(tmp_path / "kit.bundle", said.append)
    listed = git("bundle", "list-heads", str(tmp_path / "kit.bundle"), folder=str(repository))
    assert [line.split()[1] for line in listed.splitlines()] == ["HEAD", "refs/heads/main"]
    assert said == ["The kit has uncommitted changes. The last commit is packed, without them."]

    git("checkout", "--quiet", "--force", "--detach", folder=str(repository))
    pack.bundle_kit(tmp_path / "detached.bundle", said.append)
    heads = git("bundle", "list-heads", str(tmp_path / "detached.bundle"), folder=str(repository))
    assert [line.split()[1] for line in heads.splitlines()] == ["HEAD"]

    monkeypatch.setattr(pack, "KIT", tmp_path)
    with pytest.raises(JukeboxError, match="not a git clone with its whole history"):
        pack.bundle_kit(tmp_path / "none.bundle", said.append)


def test_the_version_names_the_revision_where_git_knows_it(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(about, "is_checkout", lambda: True)
    monkeypatch.setattr(about, "KIT", repository)
    revision = git("rev-parse", "--short=10", "HEAD", folder=str(repository))
    assert about.kit_version() == f"{jukebox_helpers.__version__} (revision {revision}-dirty)"
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(about, "KIT", tmp_path)
    assert about.kit_version() == jukebox_helpers.__version__


def test_nothing_else_in_the_library_starts_git() -> None:
    """Only steps/git.py: there no password is seen, nothing waits for a terminal and no failure is missed."""
    starters = modules_with(lambda node: isinstance(node, ast.List) and ast.unparse(node).startswith("['git'"))
    assert starters == {"steps/git.py"}
