"""Make what a chart cannot declare: each attendee's user, repositories and webhook in Gitea, and the Secrets for them.

Runs in the cluster, with Python and git alone, as often as one likes: what is there stays as it is, and the Secrets say
what passwords should be. Gitea's API: https://docs.gitea.com/api/
From the environment: USERS (JSON), CLUSTER_DOMAIN, SEED (the address of the repository that all begin with),
ARGOCD_NAMESPACE, REGISTRY_NAMESPACE (empty: no registries), TRUSTED_CA, ADMIN_USERNAME and ADMIN_PASSWORD (of Gitea).
"""

import base64
import json
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import credentials

GITEA = os.environ.get("GITEA", f"https://gitea-gitea.{os.environ['CLUSTER_DOMAIN']}")
ADMIN = (os.environ["ADMIN_USERNAME"], os.environ["ADMIN_PASSWORD"])
START = "The workshop as it starts"
FOLDERS = {"jukebox": "", "mlops-gitops": "mlops-gitops"}
"""The repositories, and the folder of the seed that each begins with."""


def authorities():
    """The file with the authorities of the cluster, where the namespace has them, beside those of the image."""
    found = [file.read_text() for file in sorted(Path(os.environ["TRUSTED_CA"]).glob("*.crt"))]
    file = Path(tempfile.gettempdir(), "ca.crt")
    file.write_text("\n".join(found))
    return str(file) if found else None


def ask(who, method, path, body=None, normal=()):
    """Ask Gitea as a user; None where the answer is one of the error codes that are normal here."""
    basic = base64.b64encode(":".join(who).encode()).decode()
    request = urllib.request.Request(
        f"{GITEA}/api/v1/{path}",
        data=json.dumps(body).encode() if body else None,
        headers={"Content-Type": "application/json", "Authorization": f"Basic {basic}"},
        method=method,
    )
    context = ssl.create_default_context()
    if AUTHORITIES:
        context.load_verify_locations(AUTHORITIES)
    try:
        with urllib.request.urlopen(request, context=context, timeout=60) as answer:
            return json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        if error.code in normal:
            return None
        said = error.read().decode(errors="replace")[:300]
        sys.exit(
            f"{GITEA} answers {error.code} to {method} {path}: {said}\nNext: check the Secret of its administrator."
        )
    except (OSError, ValueError) as error:
        sys.exit(f"{GITEA} cannot be asked: {error}\nNext: see that Gitea runs; this Job tries again.")


def git(folder, *arguments, who=None, **variables):
    """Run git; the user's password goes to Gitea only, and is in no argument."""
    helper = '!f() { printf \'username=%s\\npassword=%s\\n\' "$username" "$password"; }; f'
    options = ["credential.helper=", f"credential.{GITEA}.helper={helper}", "http.followRedirects=false"]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", **variables}
    for name in ("ADMIN_USERNAME", "ADMIN_PASSWORD"):
        environment.pop(name, None)
    if who:
        environment["username"], environment["password"] = who
    if AUTHORITIES:
        environment["GIT_SSL_CAINFO"] = AUTHORITIES
    command = ["git", *(word for option in options for word in ("-c", option)), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"git {arguments[0]} failed: {done.stderr.strip()[-500:]}\nNext: check the value seed, and Gitea.")
    return done.stdout.strip()


def starts(folder):
    """Clone the seed: the commit that each repository begins with, the same whoever makes it."""
    git(".", "clone", "--quiet", "--depth=1", os.environ["SEED"], folder, who=ADMIN)
    moment = git(folder, "log", "-1", "--format=%cI")
    identity = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Jukebox"), ("EMAIL", "jukebox@example.com"), ("DATE", moment))
    }
    return {name: git(folder, "commit-tree", f"HEAD:{part}", "-m", START, **identity) for name, part in FOLDERS.items()}


def account(user, project):
    """The user in Gitea, with the password that the Secret git-auth of the project has."""
    credentials.generate("git-auth", {"password": 20}, project, username=user)
    who = (user, credentials.read("git-auth", project)["password"])
    known = {"password": who[1], "must_change_password": False}
    new = {"username": user, "email": f"{user}@example.com", **known}
    made = ask(ADMIN, "POST", "admin/users", new, normal=[422])
    if not made and ask(who, "GET", "user", normal=[401, 403]) is None:
        ask(ADMIN, "PATCH", f"admin/users/{user}", {"source_id": 0, "login_name": user, **known})
    return who


def repository(who, name, folder, commit):
    """A private repository of the user, which begins as all of them do; one that has a commit stays as it is."""
    new = {"name": name, "private": True, "default_branch": "main"}
    ask(who, "POST", "user/repos", new, normal=[409])
    if ask(who, "GET", f"repos/{who[0]}/{name}")["empty"]:
        git(folder, "push", "--quiet", f"{GITEA}/{who[0]}/{name}.git", f"{commit}:refs/heads/main", who=who)


def webhook(who, project):
    """A push to jukebox is posted to the listener of the project, signed with the secret that the listener knows."""
    credentials.generate("ct-pipeline-webhook", {"secret": 20}, project)
    hooks = f"repos/{who[0]}/jukebox/hooks"
    url = f"https://ct-pipeline-{project}.{os.environ['CLUSTER_DOMAIN']}"
    secret = credentials.read("ct-pipeline-webhook", project)["secret"]
    hook = {
        "active": True,
        "events": ["push"],
        "config": {"url": url, "http_method": "post", "content_type": "json", "secret": secret},
    }
    known = [one for one in ask(who, "GET", f"{hooks}?limit=50") if one["config"]["url"] == url]
    if known:  # the secret cannot be read back, so it is set
        ask(who, "PATCH", f"{hooks}/{known[0]['id']}", hook)
    else:
        ask(who, "POST", hooks, {"type": "gitea", **hook})


def everything(user, folder, commits):
    """All of one attendee."""
    project = f"{user}-toolings"
    if os.environ["REGISTRY_NAMESPACE"]:
        credentials.generate(f"{user}-registry-db", {"password": 20}, os.environ["REGISTRY_NAMESPACE"])
    who = account(user, project)
    # Argo CD reads both repositories with the user's own password.
    values = {"url": f"{GITEA}/{user}", "username": user, "password": who[1]}
    labels = {"argocd.argoproj.io/secret-type": "repo-creds"}
    credentials.put(f"{user}-gitea", values, os.environ["ARGOCD_NAMESPACE"], labels=labels)
    for name, commit in commits.items():
        repository(who, name, folder, commit)
    webhook(who, project)
    print(f"{user} has all that is needed.", flush=True)


def main():
    """One attendee after the other; what fails for one does not hold up the rest."""
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        commits = starts(folder)
        for user in json.loads(os.environ["USERS"]):
            try:
                everything(user, folder, commits)
            except SystemExit as error:
                failed.append(f"{user}: {error}")
    if failed:
        sys.exit("\n".join(failed))


AUTHORITIES = authorities()

if __name__ == "__main__":
    main()
