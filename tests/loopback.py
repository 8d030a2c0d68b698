"""Servers on loopback that are not what they should be: a page where an API was expected, a self-made certificate."""

import base64
import io
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jukebox_sandbox.git_server import GitServer

PAGE = b"<!DOCTYPE html>\n<html>\n<title>Log in</title>\n</html>\n"


@contextmanager
def page_server(status: int = 200, certificate: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that answers everything with a web page; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            if status == 302 and self.path != "/login":
                self.send_header("Location", "/login")
            self.send_header("Content-Length", str(len(PAGE)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(PAGE)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *arguments: object) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate:
        server.socket = certificate.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"{'https' if certificate else 'http'}://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextmanager
def bad_server(answer: bytes | Iterable[bytes] | None) -> Iterator[str]:
    """A server that answers every request with these bytes and closes, or with nothing at all; yields its address.

    Parts of an answer are sent one by one, as they come, until nobody reads them any more.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    open_ends = []

    def send(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            for part in [answer] if isinstance(answer, bytes) else answer or ():
                connection.sendall(part)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            head = b""
            while b"\r\n\r\n" not in head and (part := connection.recv(65536)):
                head += part
            if answer is None:
                open_ends.append(connection)
            else:
                send(connection)

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    for connection in open_ends:
        connection.close()


def make_certificate(folder: Path) -> ssl.SSLContext:
    """A certificate for localhost that is its own authority, as ``ca.pem`` in a folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


GIT_PASSWORD = "correct horse"


class ThreadedServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Keep the tests' output clean."""


class RecordingGitServer:
    """A git server that writes down every ``Authorization`` header that it gets.

    Args:
        root: The repositories.
        password: What it asks for; anybody may read and write where it is None.
        redirect: Another server, to which every request is sent.
    """

    def __init__(self, root: Path, password: str | None = GIT_PASSWORD, redirect: str = "") -> None:
        self.serve, self.redirect, self.redirect_status = GitServer(root), redirect, 302
        self.requests: list[str] = []
        self.seen: list[str] = []
        self.expected = password and f"Basic {base64.b64encode(f'user1:{password}'.encode()).decode()}"
        self.server = make_server("127.0.0.1", 0, self.answer, ThreadedServer, Quiet)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, environ: dict[str, Any], respond: Any) -> Iterable[bytes]:
        """Answer one request."""
        given = environ.get("HTTP_AUTHORIZATION")
        self.requests.append(environ["PATH_INFO"])
        self.seen += [given] * bool(given)
        if self.expected and given != self.expected:
            respond("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="x", charset="UTF-8"')])
            return [b""]
        if self.redirect:
            query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
            respond(
                f"{self.redirect_status} Elsewhere", [("Location", f"{self.redirect}{environ['PATH_INFO']}{query}")]
            )
            return [b""]
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        return self.serve(environ, respond)

    def close(self) -> None:
        """Stop it."""
        self.server.shutdown()
        self.server.server_close()
