"""A proxy in front of a real server, which injects the failures that a test wants."""

import http.client
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from loopback import PAGE

PASSED_ON = ("Content-Type", "Www-Authenticate", "Location", "Cache-Control")
"""Headers of an answer that clients look at."""


@dataclass
class Failure:
    """What happens to the requests that it matches.

    Attributes:
        pattern: Matches the whole of ``<method> <path>``, without the query.
        status: The answer's status; 0 for no answer: the connection is closed.
        seconds: How long it says nothing first.
        times: How many requests fail; None for all.
        done: Whether the server does what is asked before the failure is the answer.
        page: Whether the answer is an HTML page, as of a login or a router.
        body: The answer's JSON, where it is no page.
    """

    pattern: str
    status: int
    seconds: float
    times: int | None
    done: bool
    page: bool
    body: bytes


class FailingProxy:
    """Passes everything on, except what it was asked to fail.

    Args:
        target: The address of the real server, ``http://127.0.0.1:<port>``.
        certificate: Serve HTTPS with it.

    Attributes:
        url: Its own address.
        requests: Method and path of each request, also of those that failed.
        tokens: The ``Authorization`` header of each; empty where there was none.
    """

    protocol = "HTTP/1.0"

    def __init__(self, target: str, certificate: ssl.SSLContext | None = None) -> None:
        self.target = urlsplit(target)
        self.requests: list[str] = []
        self.tokens: list[str] = []
        self.failures: list[Failure] = []
        self.held: tuple[str, threading.Event] | None = None
        self.lock, self.closing = threading.Lock(), threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = self.protocol

            def answer(self) -> None:
                proxy.handle(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, *arguments: object) -> None:
                """Keep the tests' output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if certificate:
            self.server.socket = certificate.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if certificate else 'http'}://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def fail(
        self,
        pattern: str,
        status: int = 503,
        *,
        seconds: float = 0.0,
        times: int | None = 1,
        done: bool = False,
        page: bool = False,
        body: bytes = b'{"code": "x", "message": "told to fail"}',
    ) -> None:
        """Let requests fail from now on; see `Failure`. The failures that were asked for first come first."""
        self.failures.append(Failure(pattern, status, seconds, times, done, page, body))

    @contextmanager
    def holding(self, pattern: str) -> Iterator[None]:
        """Keep the requests that match waiting, for 30 seconds at most, until the block ends."""
        release = threading.Event()
        self.held = (pattern, release)
        try:
            yield
        finally:
            self.held = None
            release.set()

    def failure(self, request: str) -> Failure | None:
        """The failure of a request, used up by it; None if it is passed on."""
        with self.lock:
            for failure in self.failures:
                if failure.times != 0 and re.fullmatch(failure.pattern, request):
                    failure.times = None if failure.times is None else failure.times - 1
                    return failure
        return None

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        request = f"{handler.command} {urlsplit(handler.path).path}"
        self.requests.append(request)
        self.tokens.append(handler.headers.get("Authorization", ""))
        if (held := self.held) and re.fullmatch(held[0], request):
            held[1].wait(30)
        failure = self.failure(request)
        if failure is None or failure.done:
            status, headers, answer = self.ask(handler, body)
        if failure is not None:
            self.closing.wait(failure.seconds)
            status, headers, answer = failure.status, {"Content-Type": "application/json"}, failure.body
            if failure.page:
                headers, answer = {"Content-Type": "text/html; charset=utf-8"}, PAGE
        if status == 0:
            handler.close_connection = True
            return
        handler.send_response(status)
        for name, value in ({"Content-Length": str(len(answer))} | headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(answer)

    def ask(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """The real server's answer: status, headers and body."""
        connection = http.client.HTTPConnection(self.target.hostname or "", self.target.port, timeout=60)
        headers = {key: value for key, value in handler.headers.items() if key.lower() not in ("host", "connection")}
        connection.request(handler.command, handler.path, body, headers | {"Connection": "close"})
        answer = connection.getresponse()
        read = answer.read()
        connection.close()
        kept = {name: value for name, value in answer.headers.items() if name.title() in PASSED_ON}
        return answer.status, kept, read

    def close(self) -> None:
        """Stop it."""
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
