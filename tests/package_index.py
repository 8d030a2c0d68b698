"""A package index on loopback that asks for a password, and tiny packages to install from it."""

import base64
import hashlib
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PASSWORD = "pa55-of-the-index"


@dataclass
class Index:
    """The address with its password, and who asked for a wheel."""

    url: str
    downloads: list[tuple[str, str]] = field(default_factory=list)


def make_wheel(folder: Path, name: str) -> Path:
    """A wheel of version 1.0 with one module."""
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    about = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "HERE = True\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, text in {**files, f"{about}/RECORD": record}.items():
            archive.writestr(file, text)
    return wheel


def lock_of(*wheels: Path) -> str:
    """A lock that names wheels and their hashes."""
    hashes = ((wheel.name.split("-")[0], hashlib.sha256(wheel.read_bytes()).hexdigest()) for wheel in wheels)
    return "".join(f"{name}==1.0 \\\n    --hash=sha256:{digest}\n" for name, digest in hashes)


@contextmanager
def package_index(folder: Path) -> Iterator[Index]:
    """Serve the wheels of a folder as https://peps.python.org/pep-0503/ says."""
    expected = "Basic " + base64.b64encode(f"attendee:{PASSWORD}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/").split("/")[-1]
            wheels = [file for file in folder.glob("*.whl") if file.name.split("-")[0] == name or file.name == name]
            if self.headers.get("Authorization") != expected:
                self.answer(401, b"", ("WWW-Authenticate", "Basic"))
            elif not wheels:
                self.answer(404, b"")
            elif name.endswith(".whl"):
                if self.command == "GET":
                    index.downloads.append((self.headers.get("User-Agent", "").split("/")[0], name))
                self.answer(200, wheels[0].read_bytes())
            else:
                links = "".join(f'<a href="/files/{file.name}">{file.name}</a>' for file in wheels)
                self.answer(200, f"<!DOCTYPE html><html><body>{links}</body></html>".encode())

        def answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
            self.send_response(status)
            for header in (*headers, ("Content-Type", "text/html"), ("Content-Length", str(len(body)))):
                self.send_header(*header)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *arguments: object) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    index = Index(f"http://attendee:{PASSWORD}@127.0.0.1:{server.server_port}/simple")
    yield index
    server.shutdown()
    server.server_close()
