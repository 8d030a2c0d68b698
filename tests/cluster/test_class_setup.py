"""The Job of a class, run as its manifest says: Gitea's API and Kubernetes' Secrets that say no, real git."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from fake_gitea import ADMIN, FakeGitea
from fake_secrets import TOKEN, FakeSecrets
from loopback import make_certificate
from rendering import CHARTS, DOMAIN, of_kind, render

from jukebox_helpers.workshop.resetting import SEED

CLASS = CHARTS / "class"
USERS, WORKBENCH = CLASS / "files" / "users.py", CLASS / "files" / "workbench.sh"
START = "The workshop as it starts"


def run(*command, **variables):
    return subprocess.run(command, env={"PATH": os.environ["PATH"], **variables}, capture_output=True, text=True)


def roles(manifests):
    """What the chart's Roles allow the Job, as `FakeSecrets` takes it."""
    allowed = set()
    for role in (m for m in manifests if m["kind"] == "Role"):
        for rule in role["rules"]:
            for name in rule.get("resourceNames", ["*"]):
                allowed |= {(verb, f"{role['metadata']['namespace']}/{name}") for verb in rule["verbs"]}
    return allowed


class Class:
    """A cluster with the chart's Roles, a Gitea with a seed, and the Job of the chart."""

    def __init__(self, folder, helm):
        self.folder, self.helm = folder, helm
        certificate = make_certificate(folder)
        for name, text in (("token", TOKEN), ("namespace", "jukebox-class")):
            (folder / name).write_text(text)
        shutil.copy(folder / "ca.pem", folder / "ca.crt")
        self.secrets = FakeSecrets(certificate, set(), own="jukebox-class")
        self.gitea = FakeGitea(folder / "repositories", certificate)
        self.gitea.create("instructor/jukebox")
        self.seed({"README.md": "the kit", "mlops-gitops/toolings/minio/config.yaml": "buckets: []"})

    def seed(self, files):
        work = self.folder / "seed"
        for name, text in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text)
        self.git("init", "--quiet", "--initial-branch=main", folder=work)
        self.git("add", "--all", folder=work)
        self.git("commit", "--quiet", "--message", "Of the kit's own history", folder=work)
        self.git("push", "--quiet", self.gitea.bare("instructor/jukebox"), "main", folder=work)

    def git(self, *arguments, folder=None):
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        where = folder or self.folder
        done = subprocess.run(["git", *identity, *arguments], cwd=where, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def job(self, attendees, **changed):
        """Render the chart, allow what it allows, and run its Job."""
        seed = f"{self.gitea.url}/instructor/jukebox.git"
        given = {"attendees": attendees, "cluster_domain": DOMAIN, "seed": seed}
        words = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
        manifests = render(self.helm, CLASS, *words, "--namespace", "jukebox-class")
        self.secrets.allowed = roles(manifests)
        [container] = of_kind(manifests, "Job")["spec"]["template"]["spec"]["containers"]
        plain = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
        own = {"ADMIN_USERNAME": ADMIN[0], "ADMIN_PASSWORD": ADMIN[1], "GITEA": self.gitea.url}
        around = {
            "SERVICE_ACCOUNT": str(self.folder),
            "KUBERNETES_API": f"https://localhost:{self.secrets.server_port}",
            "TRUSTED_CA": str(self.folder),
            "HOME": str(self.folder),
        }
        return run(sys.executable, "-S", USERS, **{**plain, **own, **around, **changed})

    def user(self, name):
        """All that there is of a user."""
        git_auth, argo = (
            self.secrets.values(key) for key in (f"{name}-toolings/git-auth", f"openshift-gitops/{name}-gitea")
        )
        return {
            "git-auth": git_auth,
            "argo": argo,
            "webhook": self.secrets.values(f"{name}-toolings/ct-pipeline-webhook"),
            "database": self.secrets.values(f"rhoai-model-registries/{name}-registry-db"),
            "gitea": self.gitea.users[name],
            "heads": [self.gitea.rev(f"{name}/{one}", "main") for one in ("jukebox", "mlops-gitops")],
            "hooks": json.loads(json.dumps(self.gitea.hooks[f"{name}/jukebox"])),
        }

    def clone(self, user, folder):
        """What the workbench's first container does."""
        work = self.folder / folder
        work.mkdir(exist_ok=True)
        password = self.secrets.values(f"{user}-toolings/git-auth")["password"]
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        around = {"HOME": str(home), "TRUSTED_CA": str(self.folder), "WORK": str(work)}
        return work, run("sh", WORKBENCH, GITEA=self.gitea.url, username=user, password=password, **around)

    def close(self):
        for server in (self.secrets, self.gitea):
            server.shutdown()
            server.server_close()


@pytest.fixture
def course(tmp_path, helm):
    course = Class(tmp_path, helm)
    yield course
    course.close()


def test_each_attendee_gets_everything_once(course):
    done = course.job(2)
    assert done.returncode == 0, done.stderr
    users = [course.user(name) for name in ("user1", "user2")]
    for name, user in zip(("user1", "user2"), users, strict=True):
        assert user["git-auth"] == {"username": name, "password": user["gitea"]} and len(user["gitea"]) == 40
        assert user["argo"] == {"url": f"{course.gitea.url}/{name}", **user["git-auth"]}
        labels = course.secrets.secrets[f"openshift-gitops/{name}-gitea"]["metadata"]["labels"]
        assert labels == {"argocd.argoproj.io/secret-type": "repo-creds"}
        [hook] = user["hooks"]
        assert hook["type"] == "gitea" and hook["active"] and hook["events"] == ["push"]
        assert hook["config"]["url"] == f"https://ct-pipeline-{name}-toolings.{DOMAIN}"
        assert (hook["config"]["content_type"], hook["config"]["secret"]) == ("json", user["webhook"]["secret"])
    passwords = [user[key][one] for user in users for key, one in (("git-auth", "password"), ("database", "password"))]
    assert len(set(passwords)) == 4
    assert not [one for one in (*passwords, ADMIN[1]) if one in done.stdout + done.stderr]

    assert users[0]["heads"] == users[1]["heads"]
    seed = course.gitea.rev("instructor/jukebox", "main")
    trees = [course.gitea.rev(f"user2/{name}", "main^{tree}") for name in ("jukebox", "mlops-gitops")]
    assert trees == [
        course.gitea.rev("instructor/jukebox", part) for part in (f"{seed}^{{tree}}", f"{seed}:mlops-gitops")
    ]
    log = course.git("-C", course.gitea.bare("user1/jukebox"), "log", "--format=%s", "main")
    assert log == START == SEED  # to which jukebox reset goes back

    again = course.job(2)
    assert again.returncode == 0, again.stderr
    assert [course.user(name) for name in ("user1", "user2")] == users


def test_more_attendees_leave_those_who_are_there_as_they_are(course):
    assert course.job(1).returncode == 0
    work, cloned = course.clone("user1", "work")
    assert cloned.returncode == 0, cloned.stderr
    (work / "jukebox" / "mine.txt").write_text("x")
    course.git("add", ".", folder=work / "jukebox")
    course.git("commit", "--quiet", "--message", "Mine", folder=work / "jukebox")
    before = course.user("user1")
    pushed = run(
        "git", "-C", str(work / "jukebox"), "push", "--quiet", "origin", "main",
        HOME=str(course.folder), GIT_SSL_CAINFO=str(course.folder / "ca.crt"), **before["git-auth"],
    )  # fmt: skip
    assert pushed.returncode == 0, pushed.stderr
    assert course.job(6).returncode == 0
    assert sorted(course.gitea.users) == ["instructor", *(f"user{number}" for number in range(1, 7))]
    after = course.user("user1")
    assert after["heads"] != before["heads"] and after == {**before, "heads": after["heads"]}


def test_what_is_half_there_is_completed(course):
    """A user with another password, an empty repository, a hook with another secret, a Secret that was there before."""
    course.gitea.users["user1"] = "known to the instructor"
    course.gitea.create("user1/jukebox")
    url = f"https://ct-pipeline-user1-toolings.{DOMAIN}"
    for config in ({"url": "https://elsewhere.example.com"}, {"url": url, "secret": "another"}):
        course.gitea.hooks["user1/jukebox"].append(
            {"id": len(course.gitea.hooks["user1/jukebox"]) + 1, "config": config}
        )
    assert course.job(1).returncode == 0
    user = course.user("user1")
    assert user["gitea"] == user["git-auth"]["password"] != "known to the instructor"
    assert all(user["heads"]) and len(user["hooks"]) == 2
    assert user["hooks"][0]["config"] == {"url": "https://elsewhere.example.com"}
    assert user["hooks"][1]["config"]["secret"] == user["webhook"]["secret"]
    # Somebody changes the password in Gitea: the Secret is what the steps have, so it counts.
    course.gitea.users["user1"] = "changed in the browser"
    assert course.job(1).returncode == 0
    assert course.user("user1") == user


def test_what_fails_for_one_does_not_hold_up_the_rest(course):
    course.gitea.hooks["user2/jukebox"] = []  # a repository whose folder is gone
    done = course.job(3)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "user2: git push failed" in done.stderr and "Next: check" in done.stderr
    assert "user1 has all" in done.stdout and "user3 has all" in done.stdout and "user2 has" not in done.stdout
    course.gitea.create("user2/jukebox")
    assert course.job(3).returncode == 0 and len(course.user("user2")["hooks"]) == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ADMIN_PASSWORD": "x"}, "git clone failed"),
        ({"ADMIN_USERNAME": "user9", "ADMIN_PASSWORD": "of-user9"}, "git clone failed"),
        ({"SEED": "https://localhost:1/kit.git"}, "git clone failed"),
        ({"GITEA": "https://localhost:1", "SEED": "seed"}, "https://localhost:1 cannot be asked"),
        ({"KUBERNETES_API": "https://localhost:1"}, "cannot be asked"),
    ],
    ids=["a wrong password", "no administrator", "no seed", "no Gitea", "no cluster"],
)  # fmt: skip
def test_what_cannot_be_made_fails_the_job_and_says_why(course, changed, said):
    course.gitea.users["user9"] = "of-user9"
    if changed.get("SEED") == "seed":
        changed = {**changed, "SEED": str(course.gitea.bare("instructor/jukebox"))}
    done = course.job(1, **changed)
    assert done.returncode == 1 and said in done.stderr and "Next: " in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and ADMIN[1] not in done.stderr


def test_the_job_needs_no_more_than_its_roles_allow(course):
    assert course.job(2).returncode == 0
    assert set(course.secrets.requests) <= {
        *((verb, f"{user}-toolings/{name}") for user in ("user1", "user2") for verb in ("create", "get")
          for name in ("git-auth", "ct-pipeline-webhook")),
        *(("create", f"{namespace}/{user}{what}") for user in ("user1", "user2")
          for namespace, what in (("openshift-gitops", "-gitea"), ("rhoai-model-registries", "-registry-db"))),
    }  # fmt: skip


def test_the_workbench_has_both_repositories_whole_and_keeps_what_is_there(course):
    assert course.job(1).returncode == 0
    work, first = course.clone("user1", "work")
    assert first.returncode == 0, first.stderr
    assert {folder.name for folder in work.iterdir()} == {"jukebox", "mlops-gitops"}
    (work / "jukebox" / "README.md").write_text("my own")
    config = (work / "jukebox" / ".git" / "config").read_text()
    assert course.user("user1")["gitea"] not in config and "email = user1@example.com" in config
    _, again = course.clone("user1", "work")
    assert again.returncode == 0 and (work / "jukebox" / "README.md").read_text() == "my own"
    assert not (work / "jukebox" / ".jukebox.partial").exists()  # what is there is not cloned again
    shutil.rmtree(course.gitea.bare("user1/mlops-gitops"))
    course.gitea.create("user1/mlops-gitops")
    empty, early = course.clone("user1", "early")
    assert early.returncode == 1 and "mlops-gitops is still empty. Next: look at the Job" in early.stderr
    assert not (empty / "mlops-gitops").exists()
