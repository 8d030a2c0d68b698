"""Whether the git server will take a push, asked where only it knows. All of it travels."""

import base64
import json
import os
import urllib.parse

from jukebox_helpers.steps.git_password import git_server, server_of


def may_push(repo_url: str) -> "bool | None":
    """Whether the user of the Secret ``git-auth`` may push to ``main``, in the words of Gitea's API.

    ``git push --dry-run`` does not say: it never reaches the server's hook, which refuses a push to a protected branch,
    and one of a collaborator who may only read (``user_can_push`` of ``/repos/{owner}/{repo}/branches/{branch}``,
    https://docs.gitea.com/api).

    Args:
        repo_url: The git repository.

    Returns:
        Whether it may; None where the server does not say, because it is not the platform's or not a Gitea.
    """
    import http.client

    server = server_of(repo_url)
    if not server or server != git_server() or "password" not in os.environ:
        return None
    login = base64.b64encode(f"{os.environ['username']}:{os.environ['password']}".encode()).decode()
    connect = http.client.HTTPSConnection if server.startswith("https:") else http.client.HTTPConnection
    connection = connect(urllib.parse.urlsplit(server).netloc, timeout=30)  # follows no redirect
    try:
        root, owner, name = urllib.parse.urlsplit(repo_url).path.rstrip("/").removesuffix(".git").rsplit("/", 2)
        path = f"{root}/api/v1/repos/{owner}/{name}/branches/main"
        connection.request("GET", path, headers={"Authorization": f"Basic {login}"})
        said = json.loads(connection.getresponse().read(1 << 20))
        return said.get("user_can_push") if isinstance(said, dict) else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
