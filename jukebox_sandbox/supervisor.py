"""The one process that holds a sandbox: it starts the parts, says when they answer, and takes them along.

Run as ``python -m jukebox_sandbox.supervisor [--lifeline [--forget]] STATE CONFIGURATION`` by
:func:`jukebox_sandbox.control.up`.
"""

import base64
import http.client
import os
import secrets
import shutil
import signal
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from jukebox_sandbox import ports, repositories
from jukebox_sandbox.commit_statuses import CommitStatuses
from jukebox_sandbox.configuration import Configuration, read_configuration
from jukebox_sandbox.control import ALREADY_RUNNING
from jukebox_sandbox.door import Door
from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.events import MAIN
from jukebox_sandbox.locks import try_lock
from jukebox_sandbox.log import write_to_log
from jukebox_sandbox.object_store import ObjectStore
from jukebox_sandbox.parts import Parts, applications
from jukebox_sandbox.pipeline_server.registry.conversion import convert
from jukebox_sandbox.pipeline_server.runner import Runner
from jukebox_sandbox.pipeline_server.schedules import Clock, run_maker
from jukebox_sandbox.pipeline_server.tables import open_database
from jukebox_sandbox.serving import make_server
from jukebox_sandbox.state import OLDER_REGISTRY, USER, Sandbox, describe, is_written, write_secret
from jukebox_sandbox.web import Web
from jukebox_sandbox.worker import Worker


def make_secrets(state: Path) -> None:
    """Generate the sandbox's credentials, where it has none yet.

    Args:
        state: The state folder.
    """
    folder = state / "secrets"
    folder.mkdir(mode=0o700, exist_ok=True)
    password = secrets.token_urlsafe(24)
    values = {
        "sandbox": {
            "webhook_key": secrets.token_hex(32),
            "access_key": secrets.token_hex(10),
            "secret_key": secrets.token_hex(20),
            "credential": f"username={USER}\npassword={password}\n",
        },
        # Written last: it says that all of them are there.
        "git-auth": {"username": USER, "password": password},
    }
    if not is_written(folder / "git-auth" / "password"):
        for name, secret in values.items():
            write_secret(folder / name, secret)
    if not is_written(folder / "pipeline-server" / "token"):  # an older kit made none
        write_secret(folder / "pipeline-server", {"token": secrets.token_urlsafe(32)})


def find_store(state: Path) -> ObjectStore:
    """The S3 server that the environment names, or else the sandbox's own.

    Args:
        state: The state folder.

    Returns:
        The server, not started yet.
    """
    named = os.environ.get("AWS_S3_ENDPOINT", "")
    own = f"http://{ports.LOOPBACK}:{ports.known_ports(state).get('s3')}"
    region = os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    # A terminal that was opened in this sandbox names this sandbox's own server.
    if named and named.rstrip("/") != own:
        keys = ("AWS_S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        if missing := [key for key in keys if not os.environ.get(key)]:
            raise SandboxError(
                f"AWS_S3_ENDPOINT names an S3 server, and {' and '.join(missing)} is missing.",
                "Set it, or unset AWS_S3_ENDPOINT and the sandbox starts its own server.",
            )
        connection = {key: os.environ[key] for key in keys} | {"AWS_DEFAULT_REGION": region}
        return ObjectStore(state, connection, own=False)
    folder = state / "secrets" / "sandbox"
    connection = {
        "AWS_ACCESS_KEY_ID": (folder / "access_key").read_text(),
        "AWS_SECRET_ACCESS_KEY": (folder / "secret_key").read_text(),
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return ObjectStore(state, connection, own=True)


class Supervisor:
    """Starts, watches and stops the parts of one sandbox.

    Args:
        state: The state folder, which this process holds the lock of.
        configuration: What the sandbox holds.
    """

    def __init__(self, state: Path, configuration: Configuration) -> None:
        self.state = state
        self.configuration = configuration
        self.stopping = threading.Event()
        self.orphaned = False

    def run(self) -> int:
        """Start everything, wait for the end, stop everything.

        Returns:
            The exit code.
        """
        description = self.state / "platform.json"
        description.unlink(missing_ok=True)
        with ExitStack() as cleanup:
            make_secrets(self.state)
            socket = ports.take(self.state, ["web"])["web"]
            base_url = f"http://{ports.LOOPBACK}:{socket.getsockname()[1]}"
            store = find_store(self.state)
            cleanup.callback(store.stop)
            store.start()
            repositories.seed(self.state, USER, self.configuration)
            repositories.clone(self.state, USER, base_url, self.configuration)
            store.wait()
            write_secret(self.state / "secrets" / "s3", store.connection)
            settings = Sandbox(self.state, base_url, store.endpoint)
            engine = open_database(self.state)
            cleanup.callback(engine.dispose)
            convert(engine, self.state / OLDER_REGISTRY)
            statuses = CommitStatuses(engine)
            worker = Worker(self.state, USER, self.configuration, store, statuses)
            runner = Runner(engine, settings, self.configuration.steps_environment)
            cleanup.callback(runner.stop)
            clock = Clock(engine, run_maker(runner))
            cleanup.callback(clock.stop)
            parts = applications(settings, Parts(engine, self.configuration, statuses, runner, clock))
            web = Web(settings, self.configuration, worker.submit, parts)
            server = make_server(Door(settings, web), socket)
            gitops = repositories.bare_repository(self.state, USER, self.configuration.buckets_repository)
            if head := repositories.git(gitops, "for-each-ref", "--format=%(objectname)", MAIN):
                worker.apply(head)
            runner.start()
            clock.start()
            worker.start()
            cleanup.callback(worker.stop)
            threading.Thread(target=server.run, daemon=True).start()
            check_git(settings, self.configuration.buckets_repository)
            cleanup.callback(description.unlink, missing_ok=True)
            describe(settings, self.configuration)
            print(f"Ready: {settings.base_url}", flush=True)
            return self._watch(store)

    def _watch(self, store: ObjectStore) -> int:
        while not self.stopping.wait(0.5):
            if store.process and store.process.poll() is not None:
                print(f"SeaweedFS ended by itself; its log is {self.state}/s3/weed.log.", file=sys.stderr)
                return 1
            if not (self.state / "supervisor.lock").exists():
                print(f"{self.state} is gone: nothing could stop this sandbox any more.", file=sys.stderr)
                return 1
        return 0

    def follow_lifeline(self) -> None:
        """Stop when the owner's end of standard input closes."""
        while os.read(0, 64):
            pass
        self.orphaned = not self.stopping.is_set()
        self.stopping.set()


def check_git(settings: Sandbox, repository: str) -> None:
    """Ask the git server as a client would.

    Args:
        settings: The sandbox.
        repository: One of its repositories.

    Raises:
        SandboxError: If it does not answer.
    """
    credentials = settings.secret("git-auth")
    token = base64.b64encode(f"{credentials['username']}:{credentials['password']}".encode()).decode()
    connection = http.client.HTTPConnection(settings.base_url.removeprefix("http://"), timeout=10)
    path = f"/{settings.user}/{repository}.git/info/refs?service=git-upload-pack"
    connection.request("GET", path, headers={"Authorization": f"Basic {token}"})
    if (status := connection.getresponse().status) != 200:
        raise SandboxError(f"The git server answers {status} to a read of {repository}.")


def main() -> int:
    """Hold the sandbox of a state folder; the last argument is its configuration."""
    state, file = Path(sys.argv[-2]), Path(sys.argv[-1])
    lock = None
    for _ in range(20):  # somebody may just be asking whether a sandbox is running
        if (lock := try_lock(state / "supervisor.lock")) is not None:
            break
        time.sleep(0.05)
    if lock is None:
        return ALREADY_RUNNING
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    os.ftruncate(sys.stdout.fileno(), 0)  # the log is of this start only
    write_to_log()
    try:
        supervisor = Supervisor(state, read_configuration(file))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stopping.set())
        if "--lifeline" in sys.argv:
            threading.Thread(target=supervisor.follow_lifeline, daemon=True).start()
        code = supervisor.run()
        if "--forget" in sys.argv and supervisor.orphaned:
            shutil.rmtree(state, ignore_errors=True)
        return code
    except SandboxError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
