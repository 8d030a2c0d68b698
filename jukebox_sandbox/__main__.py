"""The sandbox as a program: ``python -m jukebox_sandbox up|down|status|clone|clock|clean STATE …``.

It prints JSON. An error is one JSON object on standard error, ``what`` and ``next``, and exit code 1.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from jukebox_sandbox.errors import SandboxError


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m jukebox_sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_text in (
        ("up", "start the sandbox of a state folder, and wait until it answers"),
        ("down", "stop it"),
        ("status", "describe it"),
        ("clone", "clone its repositories again, where a clone is gone"),
        ("clock", "move its clock forward; what is due then runs"),
        ("clean", "give back the space of overwritten objects, and remove what killed commands left"),
    ):
        command = commands.add_parser(name, help=help_text)
        command.add_argument("state", type=Path)
        if name in ("up", "clone"):
            command.add_argument("configuration", type=Path, help="the sandbox.toml")
        if name == "up":
            command.add_argument("--lifeline", action="store_true", help="end when standard input closes")
            command.add_argument("--forget", action="store_true", help="remove the state folder, too, at that end")
        if name == "clock":
            command.add_argument("days", type=int, help="how many days")
        if name == "clean":
            command.add_argument("--dry-run", action="store_true", help="only say what would go")
        if name == "down":
            command.add_argument("--delete", action="store_true", help="remove the state folder, too")
    return parser.parse_args()


def clone(state: Path, file: Path) -> dict[str, Any]:
    """Clone the repositories again, where a clone is gone."""
    from jukebox_sandbox import repositories
    from jukebox_sandbox.configuration import read_configuration
    from jukebox_sandbox.state import clones, read_sandbox

    configuration, sandbox = read_configuration(file), read_sandbox(state)
    repositories.clone(state, sandbox.user, sandbox.base_url, configuration)
    return {"clones": clones(state, configuration)}


def main() -> int:
    """Do one command and return the exit code."""
    given = arguments()
    try:
        from jukebox_sandbox import control

        if given.command == "up":
            known: Any = {
                "notes": control.up(given.state, given.configuration, lifeline=given.lifeline, forget=given.forget)
            }
        elif given.command == "down":
            known = {"running": control.down(given.state, given.delete)}
        elif given.command == "clean":
            from jukebox_sandbox.leftovers import clean

            known = clean(given.state.resolve(), given.dry_run)
        elif given.command == "clone":
            known = clone(given.state.resolve(), given.configuration)
        elif given.command == "clock":
            known = control.move_clock(given.state.resolve(), given.days)
        else:
            known = control.status(given.state)
    except SandboxError as error:
        print(json.dumps({"what": error.what, "next": error.next_action}), file=sys.stderr)
        return 1
    print(json.dumps(known))
    return 0


if __name__ == "__main__":
    sys.exit(main())
