"""A configuration of DVC that somebody pushed, and that is none."""

import pytest

from jukebox_helpers.steps.dvc import read_config, read_remotes


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        (".dvc", b"/elsewhere", "its folder is a file"),
        (".dvc/config", b"\xff\xfe\0[core]", "can't decode byte 0xff"),
        (".dvc/config", b"no configuration", "no section headers"),
    ],
)
def test_what_is_no_configuration_says_what_to_do_next(tmp_path, name, content, why):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"(?s)^\.dvc/config: .*{why}.*Next: restore it from an earlier revision"):
        read_config(str(tmp_path))


def test_a_repository_without_one_has_no_remotes(tmp_path):
    assert read_remotes(str(tmp_path)) == {}
