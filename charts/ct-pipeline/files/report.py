"""Say how the training of a push ended, on the git server too: the commit status jukebox/ct.

The command that trains sets the status. Where it could not even start, this does. Runs with Python alone.
From the environment: VERSION, REVISION, CLONE and TRAIN (how the tasks ended), URL (of the repository), username,
password.
"""

import base64
import json
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

CONTEXT = "jukebox/ct"


def ask(path, body=None):
    """Ask Gitea's API about the repository: https://docs.gitea.com/api/ (commit statuses)."""
    url = urlsplit(os.environ["URL"].removesuffix(".git"))
    request = urllib.request.Request(
        f"{url.scheme}://{url.netloc}/api/v1/repos{url.path}/{path}",
        data=json.dumps(body).encode() if body else None,
        headers={"Content-Type": "application/json", "Authorization": f"Basic {credentials()}"},
    )
    context = ssl.create_default_context()
    for file in Path(os.environ["TRUSTED_CA"]).glob("*.crt"):
        context.load_verify_locations(file)
    with urllib.request.urlopen(request, context=context, timeout=30) as answer:
        return json.load(answer)


def credentials():
    """The user name and the password, as HTTP's Basic authentication wants them."""
    return base64.b64encode(f"{os.environ['username']}:{os.environ['password']}".encode()).decode()


def main():
    """Print how it ended; where nobody has said so on the git server, say it there."""
    version, clone, train = (os.environ[name] for name in ("VERSION", "CLONE", "TRAIN"))
    print(f"Version {version}. Clone: {clone}. Training: {train}.")
    if train == "Succeeded":
        return
    print("Next: read the log of the task that failed; its last lines say what to do.")
    failed = "clone" if clone != "Succeeded" else "train"
    said = f"The task {failed} of ct-pipeline ended before the training. Next: read its log in OpenShift, Pipelines."
    try:
        statuses = ask(f"commits/{os.environ['REVISION']}/status").get("statuses") or []
        if all(one["status"] == "pending" for one in statuses if one["context"] == CONTEXT):
            status = {"context": CONTEXT, "state": "error", "description": said}
            ask(f"statuses/{os.environ['REVISION']}", status)
    except (OSError, ValueError, KeyError) as error:
        print(f"Note: the commit status is not set: {error}")


if __name__ == "__main__":
    main()
