"""The sandbox's model registry alone, on loopback, behind a proxy that can make it fail."""

import ssl
import tempfile
import threading
from pathlib import Path
from wsgiref.simple_server import make_server

from failing_proxy import FailingProxy
from flask import Flask
from loopback import Quiet, ThreadedServer

from jukebox_sandbox.pipeline_server.registry.api import registry_blueprint
from jukebox_sandbox.pipeline_server.tables import open_database

TOKEN = "sesame"


class RegistryServer:
    """The server.

    Args:
        certificate: Serve HTTPS with it.

    Attributes:
        engine: The database.
        client: Asks the application without a connection in between.
        proxy: What stands before the server.
        url: The proxy's address.
    """

    def __init__(self, certificate: ssl.SSLContext | None = None) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.engine = open_database(Path(self.folder.name))
        application = Flask("registry")
        application.register_blueprint(registry_blueprint(self.engine, TOKEN))
        self.client = application.test_client()
        self.server = make_server("127.0.0.1", 0, application, ThreadedServer, Quiet)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.proxy = FailingProxy(f"http://127.0.0.1:{self.server.server_port}", certificate)
        self.url = self.proxy.url

    def close(self) -> None:
        """Stop it."""
        self.proxy.close()
        self.server.shutdown()
        self.server.server_close()
        self.engine.dispose()
        self.folder.cleanup()
