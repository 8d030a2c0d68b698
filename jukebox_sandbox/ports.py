"""Free ports on loopback: the same ones as last time when they still are free, because clones know their remote."""

import json
import socket
from collections.abc import Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"


def bind(port: int = 0) -> socket.socket | None:
    """Take a port on loopback.

    Args:
        port: The port, or 0 for any free one.

    Returns:
        The bound socket, or None if somebody else has the port.
    """
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((LOOPBACK, port))
    except OSError:
        taken.close()
        return None
    return taken


def known_ports(state: Path) -> dict[str, int]:
    """The ports that the sandbox of this state folder used last, by name."""
    file = state / "ports.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def take(state: Path, names: Sequence[str], fresh: bool = False) -> dict[str, socket.socket]:
    """Take a port for each name and remember it in the state folder.

    Args:
        state: The state folder.
        names: What the ports are for.
        fresh: Do not try the ports of last time.

    Returns:
        The bound sockets by name. Close one right before its server binds the port.
    """
    known = known_ports(state)
    taken: dict[str, socket.socket] = {}
    for name in names:
        # Loopback always has a free port; 0 never gives None.
        sock = (None if fresh else bind(known.get(name, 0))) or bind()
        assert sock is not None
        taken[name] = sock
    numbers = {name: sock.getsockname()[1] for name, sock in taken.items()}
    (state / "ports.json").write_text(json.dumps(known | numbers, indent=1) + "\n")
    return taken
