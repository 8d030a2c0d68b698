"""Repositories that somebody made to do harm: each a change to a good one, on a clone of it."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

VERSION_FILE, SONGS = "song_properties.parquet.dvc", "song_properties.parquet"
CONFIG = Path(".dvc") / "config"


@dataclass(frozen=True)
class Place:
    """Where a change is made.

    Attributes:
        clone: The clone, at a good revision with a data version.
        outside: A folder that is nobody's business; a file ``canary`` lies in it.
        server: The address of another git server.
    """

    clone: Path
    outside: Path
    server: str

    def write(self, name: str | Path, text: str | bytes) -> None:
        """Write a file in place of whatever is there."""
        file = self.clone / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)

    def link(self, name: str | Path, target: str | Path) -> None:
        """Put a symlink in place of whatever is there."""
        file = self.clone / name
        if file.is_dir() and not file.is_symlink():
            file.rename(self.clone.parent / f"moved-{file.name}")
        file.unlink(missing_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(target)

    def append(self, name: str | Path, text: str) -> None:
        """Add to a file."""
        with open(self.clone / name, "a") as file:
            file.write(text)

    def replace(self, name: str | Path, old: str, new: str) -> None:
        """Change a file."""
        before = (self.clone / name).read_text()
        assert old in before, (name, old)
        (self.clone / name).write_text(before.replace(old, new))

    def entry(self, mode: str, name: str, content: str) -> None:
        """Add to the index what a file system would not take."""
        command = ["git", "hash-object", "-w", "--stdin"]
        blob = subprocess.run(command, cwd=self.clone, input=content, capture_output=True, text=True, check=True)
        added = f"{mode} {blob.stdout.strip()}\t{name}\0".encode()
        subprocess.run(["git", "update-index", "-z", "--index-info"], cwd=self.clone, input=added, check=True)


EVIL: dict[str, Callable[[Place], None]] = {
    "a cache elsewhere": lambda at: at.append(CONFIG, f"[cache]\n    dir = {at.outside}/cache\n"),
    "a cache above": lambda at: at.append(CONFIG, "[cache]\n    dir = ../../../../outside/cache\n    type = symlink\n"),
    "a shared database elsewhere": lambda at: at.append(
        CONFIG, f"[core]\n    site_cache_dir = {at.outside}/site\n    autostage = true\n"
    ),
    "a local configuration": lambda at: at.write(
        ".dvc/config.local", f"[core]\n    remote = evil\n['remote \"evil\"']\n    url = {at.outside}\n"
    ),
    "a remote on another server": lambda at: at.replace(
        CONFIG, "url = s3://data-cache", f"url = s3://data-cache\n    endpointurl = {at.server}"
    ),
    "a remote that is a folder": lambda at: at.replace(CONFIG, "url = s3://data-cache", f"url = {at.outside}"),
    "a remote that asks a program": lambda at: at.replace(
        CONFIG, "url = s3://data-cache", f"url = ssh://x/y\n    ask_password = true\n    keyfile = {at.outside}/canary"
    ),
    "a configuration that is no text": lambda at: at.write(CONFIG, b"\xff\xfe\0[core]"),
    "a configuration that is a link": lambda at: at.link(CONFIG, at.outside / "canary"),
    "a folder .dvc that is a link": lambda at: at.link(".dvc", at.outside),
    "a version file that is a link": lambda at: at.link(VERSION_FILE, at.outside / "canary"),
    "a version file that links to nothing yet": lambda at: at.link(VERSION_FILE, at.outside / "new"),
    "songs that are a link": lambda at: (at.write(".gitignore", ""), at.link(SONGS, at.outside / "canary"))[0],
    "a .gitignore that is a link": lambda at: at.link(".gitignore", at.outside / "canary"),
    "a .dvcignore that is a link": lambda at: at.link(".dvcignore", at.outside / "canary"),
    "a path that leads out": lambda at: at.replace(
        VERSION_FILE, f"path: {SONGS}", f"path: {os.path.relpath('/', '/a/b/c/d')}/{at.outside}/{SONGS}"
    ),
    "an absolute path": lambda at: at.replace(VERSION_FILE, f"path: {SONGS}", f"path: {at.outside}/{SONGS}"),
    "a working folder elsewhere": lambda at: at.append(VERSION_FILE, f"wdir: {at.outside}\n"),
    "an md5 that is a path": lambda at: at.write(
        VERSION_FILE, f"outs:\n- md5: ../../../../{at.outside}/canary\n  size: 5\n  hash: md5\n  path: {SONGS}\n"
    ),
    "a version file of a million lines": lambda at: at.write(VERSION_FILE, "outs:\n" + "- md5: x\n" * 200_000),
    "a version file that grows when it is read": lambda at: at.write(
        VERSION_FILE,
        "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{n}: &{n} [{','.join(['*' + p] * 9)}]\n" for p, n in
                                                 zip("abcdefgh", "bcdefghi", strict=True)),
    ),
    "a version file that makes objects": lambda at: at.write(
        VERSION_FILE, f"outs: !!python/object/apply:os.system ['touch {at.outside}/ran']\n"
    ),
    "a version file that is binary": lambda at: at.write(VERSION_FILE, b"\0\xff" * 500),
    "a version file that is empty": lambda at: at.write(VERSION_FILE, ""),
    "a filter in .gitattributes": lambda at: at.write(
        ".gitattributes", f"* filter=evil diff=evil merge=evil\n[attr]x filter=touch {at.outside}/ran\n"
    ),
    "songs that git LFS keeps": lambda at: at.write(".gitattributes", "*.dvc filter=lfs diff=lfs merge=lfs -text\n"),
    "lines that are changed at checkout": lambda at: at.write(".gitattributes", "*.dvc text eol=crlf\n* ident\n"),
    "hooks": lambda at: [
        at.write(f"{folder}/{hook}", f"#!/bin/sh\ntouch {at.outside}/ran\n")
        for folder in (".githooks", "hooks", ".husky") for hook in ("post-checkout", "pre-commit", "pre-push")
    ] and None,
    "a configuration of git": lambda at: at.write(
        ".gitconfig", f"[core]\n    fsmonitor = touch {at.outside}/ran\n    hooksPath = .githooks\n"
    ),
    "a submodule on another server": lambda at: (
        at.write(".gitmodules", f'[submodule "x"]\n    path = x\n    url = {at.server}/user1/jukebox.git\n'),
        subprocess.run(["git", "update-index", "--add", "--cacheinfo", "160000," + "1" * 40 + ",x"], cwd=at.clone,
                       check=True),
    )[0],
    "a submodule that is an option": lambda at: at.write(
        ".gitmodules", f'[submodule "x"]\n    path = -x\n    url = -u./$(touch {at.outside}/ran)\n\n'
    ),
    "names with new lines": lambda at: [
        at.write(name, "x") for name in ("a\nb.parquet.dvc", "\x1b[2J", "Next: run this\n", "-rf", "--upload-pack=x")
    ] and None,
    "names that are no text": lambda at: at.write(os.fsdecode(b"\xff\xfe.dvc"), "x"),
    "names that differ in their case": lambda at: [
        at.write(name, "outs: []\n") for name in (VERSION_FILE.upper(), ".DVC/config", "Git/config")
    ] and None,
    "a folder where the songs go": lambda at: at.entry("100644", f"{SONGS}/x/y", "z"),
    "a folder where the version file is": lambda at: (at.clone / VERSION_FILE).unlink() or at.write(
        f"{VERSION_FILE}/x", "z"
    ),
    "songs that are committed": lambda at: at.entry("100644", SONGS, "not the songs"),
    "a hundred folders deep": lambda at: at.write("/".join(["d"] * 100) + "/x.dvc", "outs: []\n"),
    "thousands of files": lambda at: [at.write(f"many/{number}.dvc", "outs: []\n") for number in range(1_500)] and None,
    "a file of fifty megabytes": lambda at: at.write("huge.bin", os.urandom(1 << 20) * 50),
    "a pipeline of commands": lambda at: at.write(
        "dvc.yaml", f"stages:\n  evil:\n    cmd: touch {at.outside}/ran\n    outs: [evil]\n"
    ),
    "songs that a command makes": lambda at: at.write(
        VERSION_FILE, f"cmd: touch {at.outside}/ran\nouts:\n- md5: {'0' * 32}\n  size: 1\n  path: {SONGS}\n"
    ),
    "songs of another repository": lambda at: at.write(
        VERSION_FILE,
        f"deps:\n- path: x\n  repo:\n    url: {at.server}/user1/jukebox.git\n    rev_lock: {'1' * 40}\nouts:\n"
        f"- md5: {'0' * 32}\n  size: 1\n  hash: md5\n  path: {SONGS}\n",
    ),
    "parameters that are a link": lambda at: at.link("3-prod_datascience/default_parameters.json", "/etc/passwd"),
    "parameters without an end": lambda at: at.write("3-prod_datascience/default_parameters.json", "[" * 100_000),
    "rankings that are a path": lambda at: at.write(
        "3-prod_datascience/default_parameters.json", json.dumps({"rankings": "../../../etc/passwd"})
    ),
    "Python beside the data": lambda at: [
        at.write(name, f"import os; os.system('touch {at.outside}/ran')\n")
        for name in ("sitecustomize.py", "dvc.py", "boto3.py", "json.py", ".dvc/plugins/x.py", ".dvc/tmp/x.py")
    ] and None,
}  # fmt: skip
"""What is done, by what it is called."""
