"""What another user of the machine reaches: every port of the sandbox's processes, asked without a credential."""

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, STDOUT

import psutil
import pytest
from waiting import DEADLINE

from jukebox_helpers import sandbox as laptop
from jukebox_helpers.settings import Settings
from jukebox_helpers.steps.s3 import s3_client
from jukebox_sandbox.certificates import CERTIFICATE, variables
from jukebox_sandbox.ports import known_ports

SONG = b"la" * 100_000
REQUESTS = [
    ("GET", "/"),
    ("GET", "/dir/status"),
    ("GET", "/dir/assign?count=1&collection=models"),
    ("GET", "/dir/lookup?volumeId=1"),
    ("GET", "/vol/vacuum?garbageThreshold=0.001"),
    ("GET", "/col/delete?collection=models"),
    ("GET", "/buckets/models/song"),
    ("GET", "/models/song"),
    ("GET", "/metrics"),
    ("GET", "/debug/pprof/"),
    ("POST", "/submit"),
    ("POST", "/"),
    ("PUT", "/buckets/models/song"),
    ("PUT", "/models/song"),
    ("DELETE", "/buckets/models/song?recursive=true"),
    ("DELETE", "/models/song"),
    ("DELETE", "/1,0163a1b2c3d4"),
]
HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How gRPC begins (RFC 9113, 3.4); who speaks it answers with its settings, a frame of type 4."""


@pytest.fixture(scope="module")
def strangers(sandbox: Settings) -> Settings:
    s3_client(sandbox.secret("aws-connection-models")).put_object(Bucket="models", Key="song", Body=SONG)
    return sandbox


def song(settings: Settings) -> bytes:
    found: bytes = s3_client(settings.secret("s3")).get_object(Bucket="models", Key="song")["Body"].read()
    return found


def processes(state: Path) -> list[psutil.Process]:
    supervisor = psutil.Process(laptop.status(state)["pid"])
    return [supervisor, *supervisor.children(recursive=True)]


def listening(state: Path) -> list[tuple[str, int]]:
    found = [
        one.laddr for process in processes(state) for one in process.net_connections("tcp") if one.status == "LISTEN"
    ]
    return sorted({(address.ip, address.port) for address in found})


def plain(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=DEADLINE)


def encrypted(address: tuple[str, int]) -> socket.socket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context.wrap_socket(plain(address))


def answered(connect: Callable[[tuple[str, int]], socket.socket], address: tuple[str, int], sent: bytes) -> bytes:
    """What comes back, at least its beginning; empty where the server ends the connection."""
    try:
        with connect(address) as connection:
            connection.sendall(sent)
            return connection.recv(1 << 16)
    except (ConnectionError, ssl.SSLError):
        return b""


def test_only_loopback_is_listened_to(strangers: Settings) -> None:
    ports = known_ports(strangers.state)
    found = listening(strangers.state)
    assert {port for _, port in found} >= set(ports.values()) and len(ports) == 11
    assert {ip for ip, _ in found} == {"127.0.0.1"}


@pytest.mark.parametrize("connect", [plain, encrypted])
def test_no_port_gives_takes_or_removes_anything(strangers: Settings, connect: Callable) -> None:
    refusals = {b"400", b"401", b"403", b"405"}
    ports = known_ports(strangers.state)
    unencrypted = {ports["web"], ports["s3"]}
    for address in listening(strangers.state):
        if connect is encrypted and address[1] in unencrypted:
            continue
        for method, path in REQUESTS:
            head = f"{method} {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nContent-Length: 2\r\n\r\nno"
            answer = answered(connect, address, head.encode())
            assert not answer or answer.split()[1] in refusals, (address, method, path, answer)
            assert SONG[:8] not in answer
        assert answered(connect, address, HTTP_2)[3:4] != b"\x04", f"{address} speaks gRPC with anybody"
    assert song(strangers) == SONG


@pytest.mark.skipif(sys.platform != "linux", reason="the permissions of a Unix socket say who may connect on Linux")
def test_no_unix_socket_is_for_others(strangers: Settings) -> None:
    for process in processes(strangers.state):
        for one in process.net_connections("unix"):
            if one.laddr:
                file = Path(process.cwd(), one.laddr)
                assert not file.exists() or not file.stat().st_mode & 0o022, file


@pytest.mark.parametrize("known", [True, False])
def test_seaweedfs_own_tools_are_refused_without_the_certificate(
    strangers: Settings, tmp_path: Path, known: bool
) -> None:
    ports, weed = known_ports(strangers.state), shutil.which("weed", path=str(Path(sys.executable).parent))
    assert weed
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    if known:
        environment |= variables(str(strangers.state / "s3" / CERTIFICATE))
    master = f"-master=127.0.0.1:{ports['master']}.{ports['master.grpc']}"
    shell = subprocess.Popen(
        [weed, "shell", master], stdin=PIPE, stdout=PIPE, stderr=STDOUT, cwd=tmp_path, env=environment
    )
    remove = b"" if known else b"fs.rm -r /buckets/models\n"
    try:
        said = shell.communicate(remove + b"fs.ls /buckets/models\nexit\n", timeout=DEADLINE if known else 6)[0]
    except subprocess.TimeoutExpired:  # it looks for a master that talks to it
        shell.kill()
        said = shell.communicate()[0]
    assert (b"song\n" in said) == known, said
    assert song(strangers) == SONG


def test_the_certificate_is_made_once_and_for_this_user_only(strangers: Settings) -> None:
    file = strangers.state / "s3" / CERTIFICATE
    assert file.stat().st_mode & 0o777 == 0o600
    key = file.read_text().partition("-----BEGIN PRIVATE KEY-----")[2]
    assert key and key not in json.dumps(laptop.status(strangers.state))


def test_the_sandbox_asks_the_master_with_the_certificate(strangers: Settings) -> None:
    from jukebox_sandbox.certificates import context

    ports = known_ports(strangers.state)
    ours = context(strangers.state / "s3" / CERTIFICATE)
    connection = http.client.HTTPSConnection("127.0.0.1", ports["master"], timeout=DEADLINE, context=ours)
    connection.request("GET", "/dir/status")
    assert "Topology" in json.loads(connection.getresponse().read())
