"""The launcher: it installs what its user needs, from where pip would, and with no network at all."""

import os
import pty
import re
import shutil
import subprocess
import sys
from importlib import metadata
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from package_index import PASSWORD, lock_of, make_wheel, package_index

from jukebox_helpers import about, installation
from jukebox_helpers import pack as packing
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import KIT

UV = Path(sys.executable).with_name("uv")
DEAD = "http://127.0.0.1:9/simple"


def blocks(lock):
    """What a lock says of each package, without the comments: versions, markers, hashes."""
    text = re.sub(r"^ *#.*\n", "", (KIT / lock).read_text(), flags=re.MULTILINE)
    return set(re.split(r"\n(?=\S)", text.strip()))


def names(lock):
    return {block.split("==")[0].split("[")[0] for block in blocks(lock)}


def test_the_lock_of_the_tests_differs_in_no_version_from_the_lock_of_the_kit():
    assert blocks("requirements.txt") <= blocks("requirements-development.txt")


def test_attendees_get_no_test_tools():
    tools = {"mypy", "nbdime", "pandas-stubs", "playwright", "pytest", "pytest-notebook", "pytest-xdist", "ruff"}
    assert tools <= names("requirements-development.txt")
    assert not tools & names("requirements.txt")


@pytest.mark.skipif(sys.platform != "linux", reason="wheels have other sizes elsewhere")
def test_what_attendees_install_is_at_most_1570_megabytes():
    installed = {re.sub(r"[-_.]+", "-", found.name).lower(): found for found in metadata.distributions()}
    size = 0
    for name in names("requirements.txt") & set(installed):
        for file in map(str, map(installed[name].locate_file, installed[name].files or [])):
            compiled = [cache_from_source(file)] if file.endswith(".py") else []
            size += sum(os.stat(one).st_size for one in (file, *compiled) if os.path.exists(one))
    assert 1_000_000_000 < size < 1_570_000_000


@pytest.fixture
def tiny(tmp_path):
    """A kit with the launcher, two packages to install and nothing else to run."""
    kit = tmp_path / "a kit"
    (kit / "jukebox_helpers").mkdir(parents=True)
    shutil.copy(KIT / "jukebox", kit)
    shutil.copy(KIT / "jukebox_helpers" / "installation.py", kit / "jukebox_helpers")
    report = "import importlib.util as u; print('installed:', *[n for n in ('tiny', 'tools') if u.find_spec(n)])\n"
    (kit / "jukebox_helpers" / "__main__.py").write_text(report)
    wheels = tmp_path / "index"
    wheels.mkdir()
    tiny, tools = (make_wheel(wheels, name) for name in ("tiny", "tools"))
    (kit / "requirements.txt").write_text(lock_of(tiny))
    (kit / "requirements-development.txt").write_text(lock_of(tiny, tools))
    return kit


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """An environment as the launcher makes it, to be copied: making one takes seconds."""
    folder = tmp_path_factory.mktemp("empty") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    with (folder / "pyvenv.cfg").open("a") as file:
        file.write("relocatable = true\n")
    return folder


def give_uv(kit, empty, program=None):
    """Put uv, or a program of its name, where the launcher finds it; it writes down how it was called."""
    shutil.copytree(empty, kit / ".venv", symlinks=True)
    uv = kit / ".venv" / "bin" / "uv"
    run = program or f'exec "{UV}" "$@"'
    uv.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> "{kit}/called"\n{run}\n')
    uv.chmod(0o755)


def launch(kit, *arguments, prefix=(), stderr=subprocess.PIPE, **variables):
    """Run the launcher of a kit; pip and uv are configured by the variables alone."""
    environment = {key: value for key, value in os.environ.items() if not re.match("(PIP|UV|JUKEBOX|PYTHON)_?", key)}
    environment |= {"UV_CACHE_DIR": str(kit / "cache"), "PIP_CACHE_DIR": str(kit / "cache"), "PIP_RETRIES": "0"}
    environment |= {"JUKEBOX_PYTHON": sys.executable, "PIP_CONFIG_FILE": os.devnull, **variables}
    command = [*prefix, str(kit / "jukebox"), *arguments]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=kit)


def test_uv_installs_from_pips_index_and_its_password_is_shown_nowhere(tiny, empty, tmp_path):
    give_uv(tiny, empty)
    with package_index(tmp_path / "index") as index:
        configuration = tmp_path / "pip.conf"
        configuration.write_text(f"[global]\nindex-url = {index.url}\nfind-links = /no/such/folder\n")
        result = launch(tiny, "status", PIP_CONFIG_FILE=str(configuration))
        assert result.stdout == "installed: tiny\n", result.stderr
        assert set(index.downloads) == {("uv", "tiny-1.0-py3-none-any.whl")}, result.stderr
        assert "requirements-development" not in (tiny / "called").read_text()

        tested = launch(tiny, "test", PIP_CONFIG_FILE=str(configuration))
        assert tested.stdout == "installed: tiny tools\n", tested.stderr
        calls = (tiny / "called").read_text()
        again = launch(tiny, "test", PIP_INDEX_URL=DEAD)
        assert again.stdout == "installed: tiny tools\n" and not again.stderr
        assert (tiny / "called").read_text() == calls  # once

        (tmp_path / "index" / "tiny-1.0-py3-none-any.whl").unlink()
        (tiny / "requirements.txt").write_text("missing==1.0 --hash=sha256:" + 64 * "0" + "\n")
        failed = launch(tiny, "status", PIP_CONFIG_FILE=str(configuration))
        assert failed.returncode == 1 and "Next: check the network and pip's index" in failed.stderr
    for shown in (result.stderr, tested.stderr, failed.stderr, failed.stdout, (tiny / "called").read_text()):
        assert PASSWORD not in shown


@pytest.mark.parametrize("program", [None, "exit 2"], ids=["no uv", "a uv that fails"])
def test_where_uv_does_not_install_pip_does(tiny, empty, tmp_path, program):
    if program:
        give_uv(tiny, empty, program)
    with package_index(tmp_path / "index") as index:
        result = launch(tiny, "status", PIP_INDEX_URL=index.url)
        assert result.stdout == "installed: tiny\n", result.stderr
        assert index.downloads == [("pip", "tiny-1.0-py3-none-any.whl")]
    assert "Trying pip" in result.stderr or not program


def test_a_terminal_sees_the_progress(tiny, empty, tmp_path):
    give_uv(tiny, empty)
    ours, theirs = pty.openpty()
    with package_index(tmp_path / "index") as index:
        assert launch(tiny, "status", PIP_INDEX_URL=index.url, stderr=theirs).stdout == "installed: tiny\n"
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "Installing" in shown and "tiny" in shown and PASSWORD not in shown
    assert "--quiet" not in (tiny / "called").read_text()


def test_pip_is_asked_in_its_own_order_and_uvs_own_variables_win(tmp_path, monkeypatch):
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://a.example/simple\nextra-index-url =\n  https://b.example\n  https://c.example\n"
        "cert = /ca.pem\ntrusted-host = d.example\n[install]\nindex-url = https://e.example/simple\n"
    )
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    configured = installation.pip_configuration()
    assert installation.uv_environment(configured, {}) == {
        "UV_DEFAULT_INDEX": "https://e.example/simple",
        "UV_INDEX": "https://b.example https://c.example",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "/ca.pem",
        "UV_INSECURE_HOST": "d.example",
    }
    own = {"UV_INDEX_URL": "https://f.example", "SSL_CERT_FILE": "/mine.pem"}
    both = installation.uv_environment(configured, own)
    assert "UV_DEFAULT_INDEX" not in both and own.items() <= both.items()
    monkeypatch.setenv("PIP_INDEX_URL", "https://g.example/simple")
    assert installation.pip_configuration()["index-url"] == "https://g.example/simple"


def no_network():
    """What runs a command with no network but loopback, where this machine lets us; else nothing."""
    program = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up; exec "$0" "$@"']
    try:
        return program if subprocess.run([*program, "true"], capture_output=True).returncode == 0 else []
    except OSError:
        return []


@pytest.mark.parametrize("with_uv", [True, False], ids=["uv", "pip"])
def test_a_packed_kit_is_installed_with_no_network(tiny, empty, tmp_path, monkeypatch, with_uv):
    packed, said = tmp_path / "a packed kit", []
    with package_index(tmp_path / "index") as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        packing.pack(packed, [tiny / "requirements.txt", tiny / "requirements-development.txt"], said.append)
    assert sorted(file.name for file in (packed / "wheels").iterdir()) == [
        "tiny-1.0-py3-none-any.whl",
        "tools-1.0-py3-none-any.whl",
    ]
    if with_uv:
        give_uv(tiny, empty)
    else:
        shutil.copytree(empty, tiny / ".venv", symlinks=True)
    names = ("PIP_INDEX_URL", "PIP_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_FIND_LINKS")
    offline = {**dict.fromkeys(names, DEAD), "JUKEBOX_WHEELS": str(packed / "wheels")}
    result = launch(tiny, "test", prefix=no_network(), **offline)
    assert result.stdout == "installed: tiny tools\n", result.stderr
    assert (tiny / "called").exists() == with_uv and "Trying pip" not in result.stderr

    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=KIT, capture_output=True, text=True).stdout
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", packed / "jukebox.bundle", clone], check=True)
    assert subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, capture_output=True, text=True).stdout == head
    assert (clone / "jukebox").is_file()
    readme = (packed / "README.txt").read_text()
    assert f"PACKED={packed}\n" in readme and 'JUKEBOX_WHEELS="$PACKED/wheels" ./jukebox demo' in readme
    assert about.kit_version() in readme
    assert "2 packages" in said[-2] and PASSWORD not in "\n".join([readme, *said])


def test_a_folder_without_the_wheels_is_refused(tiny, empty, tmp_path):
    (tmp_path / "empty").mkdir()
    shutil.copytree(empty, tiny / ".venv", symlinks=True)
    refused = launch(tiny, JUKEBOX_WHEELS=str(tmp_path / "nowhere"))
    assert refused.returncode == 1 and "there is no folder" in refused.stderr
    refused = launch(tiny, JUKEBOX_WHEELS=str(tmp_path / "empty"))
    assert refused.returncode == 1 and "was packed for requirements.txt" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_packing_says_what_it_cannot_pack(tmp_path, monkeypatch):
    lock = tmp_path / "requirements.txt"
    lock.write_text("missing==1.0 --hash=sha256:" + 64 * "0" + "\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(JukeboxError, match=r"missing==1\.0"):
        packing.pack(tmp_path / "packed", [lock], lambda line: None)
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{KIT}", shallow], check=True)
    monkeypatch.setattr(packing, "KIT", shallow)
    with pytest.raises(JukeboxError, match="whole history"):
        packing.pack(tmp_path / "packed", [lock], lambda line: None)


BASH = """
eval "$({launcher} completion bash)"
for line in "$@"; do
    read -ra COMP_WORDS <<< "$line"
    case "$line" in *" ") COMP_WORDS+=("") ;; esac
    COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)) COMPREPLY=()
    _jukebox_completion "${{COMP_WORDS[0]}}"
    printf '%s:%s\\n' "$line" "${{COMPREPLY[*]}}"
done
complete -p jukebox
"""


def test_bash_completes_the_launcher_by_path_and_by_name(tmp_path):
    kit = tmp_path / "kit"  # the words of a line are parted at blanks, which the kit's own path may have
    kit.symlink_to(KIT)
    lines = ["./jukebox catch", "jukebox run ", f"{kit}/jukebox completion ", "./jukebox trace --js"]
    environment = {**os.environ, "PATH": f"{KIT}/.venv/bin:{os.environ['PATH']}"}
    script = BASH.format(launcher=f"{kit}/jukebox")
    result = subprocess.run(
        ["bash", "-c", script, "bash", *lines], env=environment, cwd=KIT, capture_output=True, text=True
    )
    assert result.stdout.splitlines()[:-1] == [
        "./jukebox catch:catch-up",
        "jukebox run :data-pipeline training-pipeline",
        f"{kit}/jukebox completion :bash zsh fish",
        "./jukebox trace --js:--json",
    ]
    # bash looks a path up by its last part, too: ./jukebox is completed like jukebox.
    assert "_jukebox_completion jukebox" in result.stdout.splitlines()[-1]
    assert not result.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_call_what_was_typed(shell):
    script = subprocess.run([KIT / "jukebox", "completion", shell], capture_output=True, text=True, check=True).stdout
    assert f"{about.COMPLETION_VARIABLE}={shell}_complete" in script
    assert f"{shell}_complete jukebox" not in script and "(commandline -t) jukebox" not in script
    assert "$+commands" not in script


def test_completing_installs_and_prints_nothing(tiny):
    result = launch(tiny, _JUKEBOX_COMPLETE="bash_complete", COMP_WORDS="./jukebox ", COMP_CWORD="1")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert not (tiny / ".venv").exists()


def test_the_version_names_the_revision():
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=KIT, capture_output=True, text=True).stdout
    printed = subprocess.run([KIT / "jukebox", "--version"], capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(rf"Jukebox \d+\.\d+\.\d+ \(revision {head[:10]}(-dirty)?\)\n", printed)
