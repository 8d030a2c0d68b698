"""A JupyterLab on a sandbox's clones, and a Chromium that looks at it."""

import json
import os
import shutil
import socket
import urllib.request
import uuid
from contextlib import contextmanager

import pytest
import websocket
from waiting import DEADLINE, eventually

from jukebox_helpers.settings import KIT
from jukebox_helpers.workshop.lab import lab_command, lab_environment, start_lab

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


def chromium():
    """The path of Debian's Chromium, or None."""
    return shutil.which("chromium")


def need_chromium():
    """Skip the test where no Chromium is installed; in CI it fails."""
    if not chromium():
        if os.environ.get("CI"):
            pytest.fail("No Chromium is installed, and in CI this must not be skipped: apt-get install chromium")
        pytest.skip("No Chromium is installed here: apt-get install chromium")


@contextmanager
def jupyterlab(settings, folder, theme="JupyterLab Light"):
    """A JupyterLab; gives its address without and with the token."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    token = "a-token-of-this-test"
    environment = lab_environment(settings, theme) | {
        "JUPYTER_TOKEN": token,
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "PYTHONPATH": str(KIT),
    }
    command = lab_command(settings, (f"--ServerApp.port={port}", "--ServerApp.open_browser=False"))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lab.log").open("w") as log:
        server = start_lab(command, settings, environment, log)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/api/status?token={token}", server, folder)
            yield f"http://127.0.0.1:{port}", token
        finally:
            server.terminate()
            server.wait(DEADLINE)


def wait_until_ready(address, server, folder):
    """Wait until JupyterLab answers."""

    def state():
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=DEADLINE):
                return "ready"
        except OSError:
            return "" if server.poll() is None else "ended"

    if eventually(state) != "ready":
        raise RuntimeError(f"JupyterLab does not start: {(folder / 'lab.log').read_text()[-2000:]}")


def ask(address, token, endpoint, **body):
    """Post a request to JupyterLab's REST API, as its pages do."""
    request = urllib.request.Request(f"{address}/api/{endpoint}", json.dumps(body).encode(), method="POST")
    request.add_header("Authorization", f"token {token}")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=DEADLINE) as answer:
        return json.load(answer)


@contextmanager
def channel(address, token, path):
    """A websocket of JupyterLab."""
    socket = websocket.create_connection(
        f"{address.replace('http', 'ws', 1)}/{path}", header=[f"Authorization: token {token}"], timeout=DEADLINE
    )
    try:
        yield socket
    finally:
        socket.close()


def run_in_terminal(address, token, folder, script, output):
    """Open a terminal in a folder of the file browser, let its shell read a script, and give what that printed."""
    name = ask(address, token, "terminals", cwd=folder)["name"]
    with channel(address, token, f"terminals/websocket/{name}") as terminal:
        terminal.send(json.dumps(["stdin", f". {script} >{output}.partial 2>&1; mv {output}.partial {output}\r"]))
        assert eventually(output.exists)
    return output.read_text()


def run_in_cell(address, token, folder, code):
    """Run a cell of a notebook in a folder of the file browser, and give what it printed."""
    session = ask(
        address,
        token,
        "sessions",
        path=f"{folder}/x.ipynb".lstrip("/"),
        name="x",
        type="notebook",
        kernel={"name": "python3"},
    )
    kernel, number = session["kernel"]["id"], uuid.uuid4().hex
    content = {"code": code, "silent": False, "allow_stdin": False}
    message = {"header": {"msg_id": number, "msg_type": "execute_request", "version": "5.3", "session": number,
                          "username": "", "date": ""}}  # fmt: skip
    printed = ""
    with channel(address, token, f"api/kernels/{kernel}/channels") as cell:
        cell.send(json.dumps({**message, "channel": "shell", "parent_header": {}, "metadata": {}, "content": content}))
        while True:
            answer = json.loads(cell.recv())
            if answer["parent_header"].get("msg_id") != number:
                continue
            if answer["msg_type"] == "stream":
                printed += answer["content"]["text"]
            if answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
                return printed


@contextmanager
def page_of(folder, width=1400, height=1000):
    """A page of a fresh Chromium."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=DEADLINE * 1000)

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(folder),
            executable_path=chromium(),
            args=FLAGS,
            viewport={"width": width, "height": height},
            env={**os.environ, "HOME": str(folder)},
        )
        context.set_default_timeout(DEADLINE * 1000)
        try:
            yield context.pages[0]
        finally:
            context.close()


def open_notebook(page, address, token, name):
    """Open a notebook and wait until its kernel is there: before, "Run All Cells" does nothing."""
    page.goto(f"{address}/lab/tree/jukebox/notebooks/{name}?token={token}")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()


def run_all(page):
    """Run all cells by the menu, as a person does, and wait until the first one runs."""
    from playwright.sync_api import expect

    page.locator(".lm-MenuBar-item", has_text="Run").first.click()
    page.locator("li[data-command='runmenu:run-all']:not(.lm-mod-disabled)").click()
    expect(page.locator(".jp-CodeCell .jp-InputPrompt").first).not_to_have_text("[ ]:")
