"""Git, called so that no password is ever seen and no failure is ever missed. All of it travels."""

import os
import re
import subprocess

from jukebox_helpers.steps.git_password import (
    check_repository_address,
    credential_helper,
    git_server,
    server_of_domain,
    why_no_password,
)


def repository_url(cluster_domain: str, namespace: str, repository: str = "jukebox") -> str:
    """The HTTP address of one of the user's git repositories, without a password.

    Args:
        cluster_domain: ``apps.<cluster>``, or the sandbox's base URL, which begins with ``http://``.
        namespace: The data science project; the user is what comes before its first ``-``.
        repository: The repository's name.
    """
    return f"{server_of_domain(cluster_domain)}/{namespace.split('-')[0]}/{repository}.git"


def git(*arguments: str, folder: str = ".", variables: "dict[str, str] | None" = None) -> str:
    """Run git and return what it prints, without the last line break.

    Where the environment holds ``username`` and ``password`` (the Secret ``git-auth``), they answer git's
    question for credentials from there: they are in no URL, argument, file or log. Only the platform's git server
    gets them, no other host, redirect or submodule (https://git-scm.com/docs/gitcredentials).

    Args:
        arguments: The git command, e.g. ``"clone", url, "."``.
        folder: The folder to run in.
        variables: Further variables for git, e.g. ``GIT_INDEX_FILE``.

    Raises:
        ConnectionError: If the server does not answer, or has no such repository.
        PermissionError: If the server refuses the user, or asks for a password that is not for it.
        RuntimeError: If git fails for another reason. Each has git's own words, and what to do next.
    """
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(variables or {})}
    # Kubeflow names the cluster's authorities in SSL_CERT_FILE; git does not look there.
    if environment.get("SSL_CERT_FILE"):
        environment.setdefault("GIT_SSL_CAINFO", environment["SSL_CERT_FILE"])
    # A server that hangs is given up after a minute.
    options = ["http.lowSpeedLimit=1", "http.lowSpeedTime=60"]
    if "password" in environment:
        # The empty helper first: no other one is asked, and none learns this password.
        options += ["credential.helper=", "http.followRedirects=false"]
        if server := git_server():
            options += [f"credential.{server}.helper={credential_helper()}"]
    result = subprocess.run(
        ["git", *(part for option in options for part in ("-c", option)), *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        words = " ".join((result.stderr or result.stdout).split())  # a list of runs shows the first line
        kind, said = explained_git(words)
        if "password" in environment and "could not read Us" in words:
            said = why_no_password()
        raise kind(f"git {arguments[0]} failed: {words}. {said}")
    return result.stdout.rstrip("\n")


def texts_of_all_revisions(folder: str, most: int) -> str:
    """The files of all revisions of a repository, one after the other, of every branch, tag and stash.

    Args:
        folder: The repository.
        most: Larger ones are left out, bytes.
    """
    options = ["--batch-all-objects", "--batch-check=%(objecttype) %(objectsize) %(objectname)"]
    every = git("cat-file", *options, folder=folder).splitlines()
    wanted = "\n".join(name for kind, size, name in map(str.split, every) if kind == "blob" and int(size) < most)
    command = ["git", "cat-file", "--batch"]
    read = subprocess.run(command, cwd=folder, input=wanted.encode(), capture_output=True, check=True)
    return read.stdout.decode("latin-1")


def explained_git(words: str) -> "tuple[type[Exception], str]":
    """What git's words mean: the kind of error; why, and what to do next. The first pattern that is in them counts.

    Gitea's words are those of ``routers/web/repo/githttp.go`` and ``routers/private/hook_pre_receive.go``.
    """
    denied, away = PermissionError, ConnectionError
    for pattern, kind, said in (
        (r"repo\w* (is|was) archived", denied, "The repository is archived. Next: unarchive it in its settings."),
        (
            "two-factor|Authentication failed|could not read Us",
            denied,
            "The git server refuses the user name or password. "
            "Next: check the Secret git-auth; with two-factor authentication, its password is an access token.",
        ),
        (
            "permission denied|[Nn]ot allowed|read-only|error: 403",
            denied,
            "Next: give the user of the Secret git-auth write access to the branch main.",
        ),
        ("cert", away, "Next: name the file with the server's CA in GIT_SSL_CAINFO."),
        ("error: (30|404)|not found|is this a git", away, "Next: check the address: repo_url, cluster_domain."),
        (
            "onnect|esolve host|too slow|timed out|hung up|Empty reply|closed|EOF|SSL|TLS|error: 5",
            away,
            "Next: check that the git server runs.",
        ),
        (
            "did not match|(not a|read) tree|invalid ref",
            RuntimeError,
            "Next: push that revision, or name another.",
        ),
    ):
        if re.search(pattern, words):
            return kind, said
    return RuntimeError, "Next: fix what git names, then run again."


def clone_main(repo_url: str, folder: str) -> str:
    """Clone a repository into an empty folder and check out its branch ``main``.

    Args:
        repo_url: The repository's HTTP address, without credentials.
        folder: The folder.

    Returns:
        The revision at the head of ``main``.

    Raises:
        ConnectionError: If the repository cannot be reached or is none.
        PermissionError: If the server refuses the credentials.
        ValueError: If the address holds credentials or is not on the platform's git server, or the repository is
            empty or has no branch ``main``.
    """
    check_repository_address(repo_url)
    # A pushed link would let what is written into the clone go elsewhere.
    git("clone", "--quiet", "--config", "core.symlinks=false", repo_url, folder)
    try:
        git("checkout", "--quiet", "-B", "main", "origin/main", folder=folder)
    except RuntimeError:
        branches = {*git("branch", "--remotes", "--format=%(refname:lstrip=3)", folder=folder).split()} - {"HEAD"}
        state = f"has no branch main, only {', '.join(sorted(branches))}" if branches else "is empty"
        raise ValueError(
            f"The repository {repo_url} {state}. Next: push a first commit to its branch main, then run again."
        ) from None
    return git("rev-parse", "HEAD", folder=folder)


def container_environment() -> str:
    """Make the environment that git and DVC need, and a fresh folder to work in, which is the home from now on.

    OpenShift runs a container as a random UID without a home: ``HOME=/``, no user name
    (https://docs.redhat.com/en/documentation/openshift_container_platform/4.18/html/images/creating-images).
    """
    import tempfile

    folder = tempfile.mkdtemp(prefix="jukebox-")
    user = os.environ.get("username", "jukebox")
    os.environ.update({"HOME": folder, "USER": user, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": folder + "/.site"})
    for role in ("AUTHOR", "COMMITTER"):
        os.environ[f"GIT_{role}_NAME"] = user
        os.environ[f"GIT_{role}_EMAIL"] = f"{user}@jukebox.invalid"
    return folder
