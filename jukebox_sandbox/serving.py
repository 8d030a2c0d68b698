"""The HTTP server in front of the door: what the door would refuse anyway is refused before its body is read."""

import copy
import socket
from typing import Any

import waitress
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser

from jukebox_sandbox.door import Door

THREADS = 32
"""A push holds one thread while its event takes another."""


def make_server(door: Door, listening: socket.socket) -> Any:
    """Make the server of a door.

    Args:
        door: The application.
        listening: The bound socket.

    Returns:
        A server of waitress, not running yet.
    """

    class Parser(HTTPRequestParser):
        """Asks the door when the headers are there (waitress reads a whole body before it calls an application)."""

        adj: Any
        body_rcv: Any

        def parse_header(self, header_plus: bytes) -> None:
            super().parse_header(header_plus)
            named = {f"HTTP_{key}": value for key, value in self.headers.items()}
            # As waitress names it to the application.
            path = "/" + self.path.lstrip("/") if self.path.startswith("/") else self.path
            room = door.room(named | {"PATH_INFO": path, "REQUEST_METHOD": self.command.upper()})
            if room:
                self.adj = copy.copy(self.adj)
                self.adj.max_request_body_size = room
            elif self.body_rcv is not None:
                # The door answers it as it is without a body; the connection ends, for the body may still come.
                self.body_rcv, self.chunked, self.content_length, self.expect_continue = None, False, 0, False
                self.headers |= {"CONTENT_LENGTH": "0", "CONNECTION": "close"}

        def received(self, data: bytes) -> int:
            consumed: int = super().received(data)
            # What follows an unread body's headers is that body, and no next request.
            return len(data) if self.completed and self.headers.get("CONNECTION") == "close" else consumed

    class Channel(HTTPChannel):
        parser_class = Parser

    server = waitress.create_server(door, sockets=[listening], threads=THREADS, ident="jukebox")
    server.channel_class = Channel
    return server
