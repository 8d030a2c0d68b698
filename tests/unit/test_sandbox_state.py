"""What the sandbox reads and keeps: its configuration, its state folder, Secrets, the record of a run."""

import stat

import pytest

from jukebox_helpers.settings import Settings
from jukebox_sandbox import configuration, state
from jukebox_sandbox.errors import SandboxError


def content(folder):
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("version", ["3", "10", "1.5", "", "next"])
def test_a_state_of_a_newer_kit_is_left_as_it_is(tmp_path, version):
    (tmp_path / "version").write_text(version)
    (tmp_path / "novelty").write_text("of a newer kit")
    before = content(tmp_path)
    with pytest.raises(SandboxError, match=rf"is of format '{version}', which this kit does not know \(it knows 2\)"):
        state.bring_up_to_date(tmp_path)
    assert content(tmp_path) == before


def test_a_state_of_an_older_kit_moves_aside_what_has_no_place_and_only_once(tmp_path):
    for name in ("git/a", "secrets/b", "oddity/c"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(name)
    # As a start that was ended in the middle of this leaves it.
    (tmp_path / "before-2").mkdir()
    (tmp_path / "before-2" / "moved").write_text("earlier")
    said = state.bring_up_to_date(tmp_path)
    assert "oddity moved to" in said and "git, S3, models and clones are kept" in said
    assert content(tmp_path) == {
        "git/a": "git/a",
        "secrets/b": "secrets/b",
        "before-2/oddity/c": "oddity/c",
        "before-2/moved": "earlier",
        "version": "2\n",
    }
    assert "registered" not in said
    (tmp_path / "made-since").write_text("x")
    assert state.bring_up_to_date(tmp_path) == "" and (tmp_path / "made-since").is_file()


def test_the_registry_of_version_1_moves_aside_to_be_copied(tmp_path):
    (tmp_path / "version").write_text("1\n")
    for name in ("registry/registry.db", "before-1/oddity/c", "work/jukebox/a"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(name)
    said = state.bring_up_to_date(tmp_path)
    assert f"registry moved to {tmp_path / 'before-2'}." in said
    assert said.endswith("What was registered there is copied into the new model registry.")
    assert content(tmp_path) == {
        state.OLDER_REGISTRY: "registry/registry.db",
        "before-1/oddity/c": "before-1/oddity/c",
        "work/jukebox/a": "work/jukebox/a",
        "version": "2\n",
    }


def test_a_secret_is_there_as_a_whole_or_not_at_all(tmp_path):
    """Who waits for a bucket's connection reads it as soon as its folder is there."""
    folder = tmp_path / "secrets" / "aws-connection-data"

    class Slow(dict):
        def items(self):
            for pair in super().items():
                assert not folder.exists()
                yield pair

    state.write_secret(folder, Slow(one="1", two="2"))
    assert state.read_secret(tmp_path, "aws-connection-data") == {"one": "1", "two": "2"}
    state.write_secret(folder, {"two": "3"})
    assert state.read_secret(tmp_path, "aws-connection-data") == {"one": "1", "two": "3"}
    assert [one.name for one in folder.parent.iterdir()] == ["aws-connection-data"]


def test_a_secret_is_for_this_user_only_and_a_shorter_value_replaces_the_whole(tmp_path):
    folder = tmp_path / "secrets" / "a-secret"
    for value in ("a long password", "short"):
        state.write_secret(folder, {"key": value})
    assert state.read_secret(tmp_path, "a-secret") == {"key": "short"}
    assert stat.S_IMODE((folder / "key").stat().st_mode) == 0o600 and stat.S_IMODE(folder.stat().st_mode) == 0o700
    with pytest.raises(SandboxError, match=r"(?s)There is no Secret 'another'.*The Secrets are: a-secret\."):
        state.read_secret(tmp_path, "another")
    with pytest.raises(SandboxError, match=r"(?s)no Secret 'aws-connection-data'.*Add the bucket 'data' to"):
        state.read_secret(tmp_path, "aws-connection-data")


@pytest.mark.parametrize("text", [None, "", "{", '{"base_url": "http://x", "s3_endpoint": "http://y"}'])
def test_a_description_that_is_not_whole_is_no_running_sandbox(tmp_path, text):
    if text is not None:
        (tmp_path / "platform.json").write_text(text)
    with pytest.raises(SandboxError, match="No sandbox is running"):
        state.read_sandbox(tmp_path)


REPOSITORY = '[[repository]]\nname = "a"\nseed = "seeds/a"\n'
BUCKETS = '[buckets]\nrepository = "a"\nfile = "buckets.yaml"\n'


def test_a_configuration_is_read_relative_to_its_checkout(tmp_path):
    file = tmp_path / "sandbox.toml"
    for checkout, folder in (("", tmp_path), (f'checkout = "{tmp_path}/kit"\n', tmp_path / "kit")):
        file.write_text(checkout + REPOSITORY + BUCKETS)
        read = configuration.read_configuration(file)
        assert (read.checkout, read.repositories["a"].seed) == (folder, folder / "seeds" / "a")
        assert read.repositories["a"].on_push == () and read.buckets_file == "buckets.yaml"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "There is no file .*sandbox.toml"),
        ("[", "is not the configuration of a sandbox"),
        (BUCKETS, "is not the configuration of a sandbox: KeyError: 'repository'"),
        (REPOSITORY, "is not the configuration of a sandbox: KeyError: 'buckets'"),
        (REPOSITORY.replace("seed", "seeds") + BUCKETS, "KeyError: 'seed'"),
        (REPOSITORY + BUCKETS.replace('"a"', '"b"'), "names the repository 'b', and there is none"),
    ],
)
def test_what_is_not_a_configuration_is_refused(tmp_path, text, problem):
    if text is not None:
        (tmp_path / "sandbox.toml").write_text(text)
    with pytest.raises(SandboxError, match=problem):
        configuration.read_configuration(tmp_path / "sandbox.toml")


def test_a_secret_is_read_as_kubernetes_mounts_it(tmp_path):
    folder = tmp_path / "secrets" / "git-auth"
    (folder / "..2026_11_25").mkdir(parents=True)
    (folder / "..2026_11_25" / "password").write_text("a password")
    (folder / "..data").symlink_to("..2026_11_25")
    (folder / "password").symlink_to("..data/password")
    assert state.read_secret(tmp_path, "git-auth") == {"password": "a password"}
    settings = Settings("sandbox", tmp_path, "user1-toolings", "http://127.0.0.1:1", "")
    assert settings.secret("git-auth") == {"password": "a password"}
