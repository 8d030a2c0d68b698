"""Foreign text obeys nobody: not in a terminal, not in an error, not in a notebook."""

import io

import pytest
from rich.table import Table
from rich.text import Text

from jukebox_helpers import cli
from jukebox_helpers.cli import laptop, terminal
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.show.lineage import lineage_tree

FORGED = "x\x1b]0;owned\x07\x1b[2J\x9b\u202e[red]\u2028z"
SEEN = "x\\x1b]0;owned\\x07\\x1b[2J\\x9b\\u202e[red]\\u2028z"


def is_plain(text):
    return all(letter == "\n" or letter.isprintable() for letter in text)


def test_an_error_shows_control_characters_wherever_it_is_shown(capsys, monkeypatch):
    for error in (JukeboxError(FORGED, FORGED), JukeboxError.told(ValueError(f"{FORGED} Next: {FORGED}"))):
        assert is_plain(str(error)) and SEEN in str(error)
        assert all(is_plain(line) for line in error._render_traceback_())
    assert len(str(JukeboxError("x" * 99_000, "y" * 99_000))) < 23_000

    def fail(**_):
        raise ValueError(f"{FORGED}. Next: {FORGED}.")

    monkeypatch.setattr(cli, "cli", fail)
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().err
    assert is_plain(said) and SEEN in said


def test_a_terminal_is_not_steered_by_what_a_table_shows():
    table = Table("column")
    table.add_row(Text(FORGED))
    out = terminal.Terminal(file=io.StringIO(), width=200, force_terminal=True, color_system="standard")
    out.print(table)
    out.print(Text(FORGED, style="red"))
    said = out.file.getvalue()
    assert "\x1b[31mx\\x1b]0;owned" in said  # the style is rich's own
    assert not set(said) & set("\x07\x9b\u202e\u2028") and "\x1b]" not in said and "\x1b[2J" not in said


def test_a_registered_model_cannot_steer_the_terminal_of_its_lineage(capsys):
    nothing = dict.fromkeys(
        ("data", "rankings", "metrics", "file", "preparation", "parameters", "packages", "run", "other")
    )
    found = {
        "model": FORGED,
        "version": "1",
        "registered at": "2024-01-01T00:00:00",
        "production": False,
        "missing": {},
    }
    terminal.console().print(lineage_tree({**found, **nothing, "code": {FORGED: FORGED}}))
    said = capsys.readouterr().out
    assert is_plain(said) and said.count("\\x1b]0;owned") == 3


def test_the_status_of_a_push_cannot_steer_the_terminal(capsys, monkeypatch):
    event = {"repository": FORGED, "revision": "0" * 40, "state": "done", "status": "error", "detail": ""}
    events = [{**event, "description": f"[red]{FORGED} [/nonsense]. Next: {FORGED}"}]
    monkeypatch.setattr("jukebox_helpers.sandbox.status", lambda state: {"running": False, "events": events})
    laptop.show_status(as_json=False)
    said = capsys.readouterr().out
    assert is_plain(said) and "[red]" in said and "[/nonsense]" in said
