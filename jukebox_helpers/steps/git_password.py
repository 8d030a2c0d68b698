"""The git password: the one server that gets it, and how git gets it from the environment. All of it travels.

A pipeline's parameter ``repo_url`` may name any server; the password in the Secret ``git-auth`` is for the platform's.
A server is ``http(s)://host[:port]``, in lowercase and without a default port; empty where it is unknown.
"""

import base64
import json
import os
import re
import urllib.parse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


def credential_helper() -> str:
    """A credential helper for git that answers with ``username`` and ``password`` of the environment.

    It is the value of ``credential.<server>.helper`` (https://git-scm.com/docs/gitcredentials). ``printf``, because
    the ``echo`` of some shells reads a backslash as the start of an escape sequence
    (https://pubs.opengroup.org/onlinepubs/9799919799/utilities/echo.html).
    """
    return '!f() { printf "username=%s\\npassword=%s\\n" "$username" "$password"; }; f'


def server_of(address: str) -> str:
    """The server that an HTTP address names."""
    try:
        parts = urllib.parse.urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if not host or parts.scheme not in ("http", "https"):
        return ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + ("" if port in (None, 80 if parts.scheme == "http" else 443) else f":{port}")


def domain_in(text: str) -> str:
    """The cluster domain in an address, e.g. of a route, or in a host name: in lowercase; empty if there is none.

    All routes of a cluster share it: ``apps.<cluster>``, or ``apps-crc.testing`` on a laptop
    (https://docs.redhat.com/en/documentation/openshift_container_platform/4.18/html/ingress_and_load_balancing).
    """
    found = re.findall(r"(?:^|//|[.@\"])(apps[a-z0-9-]*(?:\.[a-z0-9-]+)+)", text, re.IGNORECASE)
    # A namespace may be called "apps", too.
    return next((domain for domain in map(str.lower, found) if not re.search(r"\.svc(\.|$)", domain)), "")


def server_of_domain(cluster_domain: str) -> str:
    """The git server of ``apps.<cluster>``, or the sandbox's base URL, which begins with ``http://``."""
    return cluster_domain if cluster_domain.startswith("http://") else f"https://gitea-gitea.{cluster_domain}"


def oauth_issuer(account: str = "/var/run/secrets/kubernetes.io/serviceaccount") -> str:
    """The address of OpenShift's OAuth server, a route of the cluster. Any pod may read it, without a token.

    Asked once for each process and its children.

    Args:
        account: The folder of the pod's service account, whose ``ca.crt`` the API server's certificate is checked with.

    Returns:
        ``https://oauth-openshift.apps.<cluster>``; empty outside OpenShift
        (https://docs.redhat.com/en/documentation/openshift_container_platform/4.18/html/authentication_and_authorization/configuring-internal-oauth).
    """
    import http.client
    import ssl

    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    if not host or "JUKEBOX_OAUTH_ISSUER" in os.environ:
        return os.environ.get("JUKEBOX_OAUTH_ISSUER", "")
    issuer = ""
    try:
        context = ssl.create_default_context(cafile=account + "/ca.crt")
        port = int(os.environ.get("KUBERNETES_SERVICE_PORT", "443"))
        connection = http.client.HTTPSConnection(host, port, timeout=5, context=context)
        connection.request("GET", "/.well-known/oauth-authorization-server")
        issuer = str(json.loads(connection.getresponse().read())["issuer"])
        connection.close()
    except Exception:
        # Not OpenShift, or not readable here: the server stays unknown, and whoever needs it says so.
        pass
    os.environ["JUKEBOX_OAUTH_ISSUER"] = issuer
    return issuer


def git_server() -> str:
    """The platform's git server, the only one that gets the git password.

    Named by ``JUKEBOX_GIT_SERVER``; in a cluster, found by what the platform wrote: the S3 connection where its
    endpoint is a route, then the API server's public metadata. Never by a pipeline's parameters.
    """
    if os.environ.get("JUKEBOX_GIT_SERVER"):
        return server_of(os.environ["JUKEBOX_GIT_SERVER"])
    domain = domain_in(server_of(os.environ.get("AWS_S3_ENDPOINT", ""))) or domain_in(server_of(oauth_issuer()))
    return server_of_domain(domain) if domain else ""


def check_repository_address(repo_url: str) -> None:
    """Refuse a repository that the git password is not for, before anything connects to it.

    Raises:
        ValueError: If the address holds credentials, or is not on the platform's git server.
    """
    if "@" in urllib.parse.urlsplit(repo_url).netloc:
        raise ValueError("The repository's address holds a user name or a password. Next: give the address alone.")
    server = git_server() if "password" in os.environ else ""
    if server and server_of(repo_url) != server:
        raise ValueError(
            f"The repository {repo_url} is not on the platform's git server {server}, the only one that the Secret "
            "git-auth is for. Next: give an address on that server."
        )


def why_no_password() -> str:
    """Why git asked for a password and got none, although there is one; and what to do next."""
    if server := git_server():
        return f"No password was sent: the Secret git-auth is for {server} only. Next: give an address on that server."
    return (
        "No password was sent: the git server that it is for could not be found. Next: compile the pipeline with "
        "JUKEBOX_GIT_SERVER=https://<host>; or let AWS_S3_ENDPOINT be a route, https://<name>.apps.<cluster>."
    )


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
    said = ask_gitea(repo_url, "branches/main")
    return said.get("user_can_push") if isinstance(said, dict) else None


def ask_gitea(repo_url: str, path: str, method: str = "GET") -> "Any":
    """Ask the platform's Gitea about a repository, with the git password.

    Args:
        repo_url: The git repository.
        path: What is asked for, below ``/repos/{owner}/{repo}/``.
        method: ``GET``, or ``POST`` without a body.

    Returns:
        Its answer, ``{}`` where it says yes and no more; None where there is none, or the server is another one.
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
        headers = {"Authorization": f"Basic {login}"}
        connection.request(method, f"{root}/api/v1/repos/{owner}/{name}/{path}", headers=headers)
        answer = connection.getresponse()
        said = answer.read(1 << 20)
        return json.loads(said or b"{}") if answer.status < 300 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
