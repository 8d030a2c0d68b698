"""Revisions pushed to do harm: fetching one writes nothing outside its folder and starts nothing of it."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import textwrap
from pathlib import Path

import pytest
from loopback import RecordingGitServer

from jukebox_helpers.settings import Settings
from jukebox_helpers.steps import data_versions, dvc
from jukebox_helpers.steps.data_cache import cache_key
from jukebox_helpers.steps.git import git
from jukebox_helpers.steps.s3 import s3_client

SONGS = b"songs of a version" * 100
MD5 = hashlib.md5(SONGS).hexdigest()
VERSION = "song_properties.parquet.dvc"
GOOD = {
    ".dvc/config": "[core]\n    remote = s3-version\n['remote \"s3-version\"']\n    url = s3://data-cache\n",
    VERSION: f"outs:\n- md5: {MD5}\n  size: {len(SONGS)}\n  hash: md5\n  path: song_properties.parquet\n",
}


@pytest.fixture
def platform(sandbox: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """The environment of a step, and the songs in the cache."""
    connection = sandbox.secret("s3")
    client = s3_client(connection)
    if "data-cache" not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket="data-cache")
    client.put_object(Bucket="data-cache", Key=cache_key(MD5), Body=SONGS)
    known = connection | sandbox.secret("git-auth") | {"JUKEBOX_GIT_SERVER": sandbox.cluster_domain}
    for key, value in (known | {"HOME": str(tmp_path), "USER": "x", "DVC_SITE_CACHE_DIR": str(tmp_path)}).items():
        monkeypatch.setenv(key, value)
    (tmp_path / "steps").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "steps"))
    return sandbox


class Pushed:
    """A revision of files, links and modes, on the platform's git server."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.folder = folder / "pushed"
        name = f"evil-{folder.name}"
        self.bare = settings.state / "git" / settings.user / f"{name}.git"
        self.bare.parent.mkdir(parents=True, exist_ok=True)
        self.url = settings.repository_url(name)
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", self.bare], check=True)
        subprocess.run(["git", "clone", "-q", self.bare, self.folder], check=True, capture_output=True)

    def push(self, files: dict[str, str], links: dict[str, str]) -> str:
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(textwrap.dedent(text))
            (self.folder / name).chmod(0o755)
        for name, target in links.items():
            if (self.folder / name).is_dir():
                shutil.rmtree(self.folder / name)
            (self.folder / name).unlink(missing_ok=True)
            (self.folder / name).symlink_to(target)
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        for command in (
            ["add", "--all", "--force"],
            [*identity, "commit", "-qm", "evil"],
            ["push", "-q", "origin", "HEAD:main"],
        ):
            subprocess.run(["git", *command], cwd=self.folder, check=True, capture_output=True)
        return git("rev-parse", "HEAD", folder=str(self.folder))


@pytest.fixture
def pushed(platform: Settings, tmp_path: Path):
    made = Pushed(platform, tmp_path)
    yield made
    shutil.rmtree(made.bare)


def everything(folder: Path) -> dict[str, bytes | str]:
    """Each file and link below a folder."""
    return {
        str(file.relative_to(folder)): os.readlink(file) if file.is_symlink() else file.read_bytes()
        for file in folder.rglob("*")
        if file.is_symlink() or file.is_file()
    }


OUT = "{outside}"
CACHE = f"[cache]\n    dir = {OUT}/cache\n    type = symlink\n"
MORE = f"[state]\n    dir = {OUT}/state\n[index]\n    dir = {OUT}/index\n"
SITE = GOOD[".dvc/config"].replace("[core]\n", f"[core]\n    site_cache_dir = {OUT}/site\n")
SETTINGS = [{".dvc/config": SITE + CACHE + MORE}, {".dvc/config.local": CACHE + MORE}]
VERSIONS = [
    f"outs:\n- md5: {MD5}\n  size: 1\n  hash: md5\n  path: {OUT}/songs\n",
    f"{GOOD[VERSION]}- md5: {MD5}\n  size: 1\n  hash: md5\n  path: ../../outside/songs\n",
    f"wdir: ../../outside\n{GOOD[VERSION]}",
    GOOD[VERSION].replace(MD5, "../../../outside/x"),
    GOOD[VERSION].replace(MD5, f"{MD5}.dir"),
    f"outs: !!python/object/apply:os.system ['touch {OUT}/started']\n",
]
LINKS = [
    {".dvc": OUT},
    {VERSION: f"{OUT}/kept"},
    {".dvc/cache": OUT, ".dvc/tmp": OUT, ".dvc/config.local": f"{OUT}/kept"},
    {"song_properties.parquet": f"{OUT}/new", ".gitignore": f"{OUT}/kept", "default_parameters.json": f"{OUT}/kept"},
]
TOUCH = f"open('{OUT}/started', 'w')\n"
STARTED = {
    ".gitattributes": "* filter=evil diff=evil merge=evil ident export-subst\n*.dvc filter=lfs\n",
    ".gitconfig": f'[filter "evil"]\n    smudge = touch {OUT}/started\n',
    ".lfsconfig": "[lfs]\n    url = http://127.0.0.1:9/x\n",
    "hooks/post-checkout": f"#!/bin/sh\ntouch {OUT}/started\n",
    "dvc.yaml": f"stages:\n  x:\n    cmd: touch {OUT}/started\n    outs: [song_properties.parquet]\n",
    "sitecustomize.py": TOUCH,
    "yaml.py": TOUCH,
    "dvc.py": TOUCH,
    VERSION: f"cmd: touch {OUT}/started\n{GOOD[VERSION]}",
}
CASES = [
    *[({**GOOD, **files}, {}) for files in SETTINGS],
    *[({**GOOD, VERSION: text}, {}) for text in VERSIONS],
    *[(GOOD, links) for links in LINKS],
    ({**GOOD, **STARTED}, {}),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_a_fetch_writes_to_its_own_folder_and_starts_nothing(pushed: Pushed, tmp_path: Path, case: int) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("as it was")
    before = everything(outside)
    files, links = CASES[case]
    revision = pushed.push(
        {name: text.replace(OUT, str(outside)) for name, text in files.items()},
        {name: target.replace(OUT, str(outside)) for name, target in links.items()},
    )
    fetched = tmp_path / "fetched"
    try:
        data_versions.fetch_data_version(pushed.url, revision, str(fetched))
    except (ValueError, RuntimeError, FileNotFoundError) as error:
        assert "Next: " in str(error), error
        assert not fetched.exists()
    else:
        assert not fetched.is_symlink() and fetched.read_bytes() == SONGS
    assert everything(outside) == before
    assert {file.name for file in tmp_path.iterdir()} <= {"steps", "pushed", "outside", "fetched", "pushed.git"}


def test_a_good_version_is_fetched(pushed: Pushed, tmp_path: Path) -> None:
    data_versions.fetch_data_version(pushed.url, pushed.push(GOOD, {}), str(tmp_path / "fetched"))
    assert (tmp_path / "fetched").read_bytes() == SONGS


@pytest.mark.parametrize("path", ["../x", "/x", "a/b", "..", "", "."])
def test_a_version_file_names_a_file_beside_it(tmp_path: Path, path: str) -> None:
    file = tmp_path / "x.dvc"
    file.write_text(f"outs:\n- md5: {MD5}\n  size: 1\n  path: {path!r}\n")
    with pytest.raises(ValueError, match="is not a DVC version file .*Next:"):
        dvc.read_version_file(str(file))


def test_a_submodule_of_the_revision_is_not_fetched(pushed: Pushed, platform: Settings, tmp_path: Path) -> None:
    other = RecordingGitServer(pushed.bare.parent)
    try:
        head = pushed.push(GOOD, {})
        (pushed.folder / ".gitmodules").write_text(f'[submodule "x"]\n\tpath = x\n\turl = {other.url}/x.git\n')
        git("update-index", "--add", "--cacheinfo", f"160000,{head},x", folder=str(pushed.folder))
        revision = pushed.push({}, {})
        data_versions.fetch_data_version(pushed.url, revision, str(tmp_path / "fetched"))
        assert other.requests == []
    finally:
        other.close()
