"""Secrets hard to quote, searched for after the loop: files, logs, pages, argument lists, git, S3 and the registry."""

import base64
import http.client
import io
import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
import urllib.parse

import psutil
import pytest
from data_repository import objects
from rich.console import Console
from stand_in import stand_in_configuration

from jukebox_helpers import sandbox as program
from jukebox_helpers.pipelines.registry import model_registry
from jukebox_helpers.settings import DEFAULT_PARAMETERS, KIT, TRAINING_PIPELINE
from jukebox_helpers.steps import s3, sample_data
from jukebox_helpers.steps.constants import MODEL
from jukebox_helpers.workshop import edits
from jukebox_helpers.workshop.demo import Demo
from jukebox_sandbox.state import write_secret

PROMISES = (7,)
PASSWORDS = [
    "it's \"$(id)\" `id` 100%s {0} \\n\\ \\' <b>@@&amp;</b> ;|&>/dev/null #",
    " blanks @@ at both ends ",
    "Ünï cödé @@ 密码 \\u0041",
    "-n -e --upload-pack=@@",
    "?a=b&c=%25@@%20+#@:/[]",
]
"""At the two characters is what no file of the kit has."""

S3_KEY = "s3+key/with=odd&signs%20and$(@@)"


def forms(secret):
    """How a secret could be written."""
    raw = secret.encode()
    quoted = {urllib.parse.quote(secret, safe=""), urllib.parse.quote(secret), urllib.parse.quote_plus(secret)}
    texts = quoted | {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    encoded = {base64.b64encode(b"user1:" + raw), base64.b64encode(raw), raw.hex().encode()}
    return {raw, *(text.encode() for text in texts), *encoded}


class Watch(threading.Thread):
    """Reads the argument lists of all processes, again and again, until told to stop."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen, self.over = set(), threading.Event()

    def run(self):
        while not self.over.is_set():
            for process in psutil.process_iter():
                try:
                    self.seen.add("\0".join(process.cmdline()))
                except psutil.Error:
                    continue
            time.sleep(0.02)


class Loop:
    """A sandbox with a password that is hard to quote, after everything that can be done in it."""

    def __init__(self, folder, password, trains):
        self.state, self.heard = folder / "state", Console(record=True, file=io.StringIO(), width=200)
        (self.state / "secrets").mkdir(parents=True, mode=0o700)
        (self.state / "supervisor.lock").touch()  # what says that this folder is a sandbox's
        password, s3_key, webhook = (one.replace("@@", secrets.token_hex(8)) for one in (password, S3_KEY, "@@@@@@@@"))
        credential = f"username=user1\npassword={password}\n"
        keys = {"webhook_key": webhook, "access_key": "a" * 20, "secret_key": s3_key, "credential": credential}
        write_secret(self.state / "secrets" / "sandbox", keys)
        write_secret(self.state / "secrets" / "git-auth", {"username": "user1", "password": password})
        command = {"command": None} if trains else {}
        configuration = stand_in_configuration(folder, **command)
        self.watch = Watch()
        self.watch.start()
        self.settings = program.up(self.state, lifeline=True, configuration=configuration)
        self.hidden = [password, s3_key, webhook, self.settings.secret("pipeline-server")["token"]]
        self.run(folder, trains)
        self.pages = self.crawl()
        self.watch.over.set()
        self.watch.join()

    def run(self, folder, trains):
        """The loop of the workshop; what fails, fails with its message."""
        show = Demo(self.settings, self.heard)
        show.apply_buckets()
        parameters = self.settings.clone() / DEFAULT_PARAMETERS
        parameters.write_text(parameters.read_text().replace('"epochs": 20', '"epochs": 3'))
        edits.train_on_versioned_data(self.settings.clone() / TRAINING_PIPELINE)
        show.follow(show.push("jukebox", "Train on versioned data")) if trains else show.push("jukebox", "Nothing")
        songs = folder / "songs.parquet"
        sample_data.make_songs(str(songs), songs=600)
        revision = show.run_data_pipeline(songs)
        if trains:
            show.follow(revision)
        environment = {**os.environ, "JUKEBOX_STATE": str(self.state), "PYTHONPATH": str(KIT)}
        for command in (["status"], ["doctor"], ["trace", MODEL], ["run", "data-pipeline", "--songs", "nowhere"]):
            run = [sys.executable, "-m", "jukebox_helpers", *command]
            done = subprocess.run(run, env=environment, capture_output=True, text=True)
            self.heard.print(done.stdout + done.stderr, markup=False)

    def crawl(self):
        """Every page of the dashboard and of klaus that a link leads to, 300 at most."""
        link = program.status(self.state)["dashboard"].removeprefix(self.settings.cluster_domain)
        cookie = self.get(link, "")[1]["Set-Cookie"].split(";")[0]
        pages, waiting = {}, ["/dashboard/", "/user1/jukebox/", "/events", "/apis/v2beta1/runs?page_size=200"]
        waiting += ["/api/model_registry/v1alpha3/model_versions", "/apis/v2beta1/pipelines?page_size=200"]
        while waiting and len(pages) < 300:
            path = waiting.pop(0)
            if path in pages:
                continue
            status, headers, body = self.get(path, cookie)
            pages[path] = str(headers).encode() + body
            if status == 200 and "html" in headers.get("Content-Type", ""):
                links = re.findall(r'(?:href|src|hx-get)="(/[^"#]*)', body.decode())
                waiting += [one.replace("&amp;", "&") for one in links if "login" not in one]
        return pages

    def get(self, path, cookie):
        """Status, headers and body of a page."""
        connection = http.client.HTTPConnection(self.settings.cluster_domain.removeprefix("http://"), timeout=60)
        connection.request("GET", urllib.parse.quote(path, safe="/?&=%:+,;~"), headers={"Cookie": cookie})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def places(self):
        """Everything that could hold a secret: what it is called, and its bytes."""
        own = (self.state / "secrets", self.state / "s3" / "identities.json")
        for file in self.state.rglob("*"):
            if file.is_file() and not file.is_symlink() and not any(file.is_relative_to(one) for one in own):
                yield str(file.relative_to(self.state)), file.read_bytes()
        for bare in [*self.state.glob("git/*/*.git"), *self.state.glob("work/*/.git")]:
            command = ["git", "--git-dir", str(bare), "cat-file", "--batch-all-objects", "--batch"]
            yield f"objects of {bare.name}", subprocess.run(command, capture_output=True, check=True).stdout
        client = s3.s3_client(self.settings.secret("s3"))
        buckets = [one["Name"] for one in client.list_buckets()["Buckets"]]
        for bucket, key in objects(client, *buckets):
            yield f"s3://{bucket}/{key}", client.get_object(Bucket=bucket, Key=key)["Body"].read()
        yield from ((f"page {path}", content) for path, content in self.pages.items())
        yield "argument lists", "\n".join(self.watch.seen).encode()
        yield "what the terminal showed", self.heard.export_text().encode()
        yield "registry", json.dumps(model_registry(self.settings).versions(MODEL)).encode()


@pytest.mark.parametrize("number", range(len(PASSWORDS)))
def test_secrets(tally, tmp_path, number):
    trains = number == 0 and tally.day is None
    if number not in tally.turn(range(len(PASSWORDS))):
        return
    try:
        loop = Loop(tmp_path, PASSWORDS[number], trains)
        found, searched = [], 0
        for name, content in loop.places():
            searched += 1
            tally.count()
            found += [f"{name}: secret {n}" for n, secret in enumerate(loop.hidden) for one in forms(secret)
                      if one in content]  # fmt: skip
        assert found == []
        assert searched > 100 and len(loop.pages) > 20
        if trains:
            assert model_registry(loop.settings).versions(MODEL)
        assert loop.settings.secret("git-auth")["password"] == loop.hidden[0]
    finally:
        program.down(tmp_path / "state", delete=True)
