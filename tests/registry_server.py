"""The sandbox's model registry alone, on loopback, behind a proxy that can make it fail."""

import ssl
import tempfile
from pathlib import Path

from failing_proxy import FailingProxy
from flask import Flask
from serving import Serving

from jukebox_helpers.pipelines.registry import PlatformRegistry
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
        token_file: Its token in a file, as a step has it.
    """

    def __init__(self, certificate: ssl.SSLContext | None = None) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.engine = open_database(Path(self.folder.name))
        application = Flask("registry")
        application.register_blueprint(registry_blueprint(self.engine))
        self.client = application.test_client()
        self.serving = Serving(application, Path(self.folder.name), TOKEN)
        self.proxy = FailingProxy(self.serving.url, certificate)
        self.url = self.proxy.url
        self.token_file = Path(self.folder.name) / "token"
        self.token_file.write_text(TOKEN)

    def open(self) -> PlatformRegistry:
        """The registry, as helpers open it."""
        return PlatformRegistry(self.url, TOKEN)

    def close(self) -> None:
        """Stop it."""
        self.proxy.close()
        self.serving.close()
        self.engine.dispose()
        self.folder.cleanup()
