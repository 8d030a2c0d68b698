"""A JupyterLab on a sandbox's clones, and a Chromium that looks at it."""

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager

from jukebox_helpers.lab import lab_command, lab_environment
from jukebox_helpers.settings import KIT

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


def chromium():
    """The path of Debian's Chromium, or None."""
    return shutil.which("chromium")


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
        server = subprocess.Popen(command, env=environment, cwd=settings.clone(), stdout=log, stderr=log)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/api/status?token={token}", server, folder)
            yield f"http://127.0.0.1:{port}", token
        finally:
            server.terminate()
            server.wait(20)


def wait_until_ready(address, server, folder):
    """Wait until JupyterLab answers."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"JupyterLab does not start: {(folder / 'lab.log').read_text()[-2000:]}")


@contextmanager
def page_of(folder, width=1400, height=1000):
    """A page of a fresh Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(folder),
            executable_path=chromium(),
            args=FLAGS,
            viewport={"width": width, "height": height},
            env={**os.environ, "HOME": str(folder)},
        )
        try:
            yield context.pages[0]
        finally:
            context.close()


def open_notebook(page, address, token, name):
    """Open a notebook and wait until its kernel is there: before, "Run All Cells" does nothing."""
    page.goto(f"{address}/lab/tree/jukebox/notebooks/{name}?token={token}")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)


def run_all(page):
    """Run all cells by the menu, as a person does, and wait until the first one runs."""
    from playwright.sync_api import expect

    page.locator(".lm-MenuBar-item", has_text="Run").first.click()
    page.locator("li[data-command='runmenu:run-all']:not(.lm-mod-disabled)").click()
    expect(page.locator(".jp-CodeCell .jp-InputPrompt").first).not_to_have_text("[ ]:", timeout=60_000)
