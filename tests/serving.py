"""An application served by waitress, as the sandbox serves its own, in a thread of the test."""

import contextlib
import threading
from pathlib import Path
from typing import Any

import waitress
from doors import behind_the_door
from waitress import wasyncore


class Serving:
    """An application behind the sandbox's door, on a free port.

    Attributes:
        url: Its address.
    """

    def __init__(self, application: Any, state: Path, token: str, threads: int = 8) -> None:
        self.server: Any = waitress.create_server(application, host="127.0.0.1", port=0, threads=threads)
        self.server.application = behind_the_door(state, self.server.effective_port, application, token)
        self.url = f"http://127.0.0.1:{self.server.effective_port}"
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Stop it: its own thread closes its sockets, for nobody else may while it waits on them."""
        with contextlib.suppress(OSError):  # the thread may have closed them before it is woken
            self.server.trigger.pull_trigger(lambda: wasyncore.close_all(self.server._map, ignore_all=True))
        self.thread.join()
        self.server.task_dispatcher.shutdown()
