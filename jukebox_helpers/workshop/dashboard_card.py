"""What JupyterLab's launcher opens under *Dashboard*: a server that leads to the dashboard, and logs the browser in.

Run as ``python -m jukebox_helpers.workshop.dashboard_card SOCKET`` by JupyterLab's proxy, which asks who is there. On a
Unix socket, because whoever can connect gets a link that logs in.
"""

import sys
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

from jukebox_helpers import sandbox
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import KIT, find_settings


def launcher_card() -> dict[str, Any]:
    """The entry for jupyter-server-proxy: https://jupyter-server-proxy.readthedocs.io/en/latest/server-process.html."""
    icon = KIT / "jukebox_sandbox" / "pages" / "static" / "icon.svg"
    return {
        "command": [sys.executable, "-m", __name__, "{unix_socket}"],
        "unix_socket": True,
        "timeout": 30,
        "launcher_entry": {"title": "Dashboard", "icon_path": str(icon)},
    }


class ToTheDashboard(BaseHTTPRequestHandler):
    """Leads every visitor to the dashboard, each by a link of its own."""

    def do_GET(self) -> None:
        """Answer with the way there, or with the reason why there is none."""
        if not self.path.endswith("/open"):  # at once: JupyterLab's proxy asks whether somebody answers
            self.answer(200, "text/html", '<meta http-equiv="refresh" content="0; url=open">')
            return
        try:
            self.answer(302, "text/plain", "", Location=sandbox.status(find_settings().state)["dashboard"])
        except JukeboxError as error:
            self.answer(503, "text/plain", f"{error}\n")

    def answer(self, status: int, kind: str, body: str, **headers: str) -> None:
        """Send one answer, which nobody keeps."""
        self.send_response(status)
        headers |= {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body.encode()))}
        for name, value in {**headers, "Cache-Control": "no-store"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Print nothing: the link is in no log."""


class Server(ThreadingMixIn, UnixStreamServer):
    """Answers on a Unix socket."""

    daemon_threads = True


if __name__ == "__main__":
    Server(sys.argv[1], ToTheDashboard).serve_forever()
