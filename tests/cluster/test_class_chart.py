"""The chart of a class: rendered for one attendee and for many, held against the schemas, and what it opens to whom."""

import json
import re
import shlex
import subprocess
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from rendering import CHARTS, DOMAIN, of_kind, render
from throwaway import environment_with

from jukebox_helpers.pipelines.declare import BASE_IMAGE
from jukebox_helpers.settings import KIT
from jukebox_helpers.steps.constants import CONNECTION_KEYS

CLASS = CHARTS / "class"
SEED = f"https://gitea-gitea.{DOMAIN}/instructor/jukebox.git"
TOOLS = ("kubernetes-validate==1.37.0", "common-expression-language==0.10.0")
CLUSTERS = [("1.27", "2"), ("1.34", "3")]
"""Kubernetes of OpenShift 4.14 and 4.21, and the OpenShift AI that it holds."""

IN_THE_PROJECT = {
    "RoleBinding user1",
    "Role class-setup",
    "RoleBinding class-setup",
    "DataSciencePipelinesApplication dspa",
    "ServiceAccount user1-hitmusic-wb",
    "RoleBinding user1-hitmusic-wb",
    "PersistentVolumeClaim user1-hitmusic-wb",
    "Notebook user1-hitmusic-wb",
}
BESIDE_THE_REGISTRY = {
    "PersistentVolumeClaim user1-registry-db",
    "Deployment user1-registry-db",
    "Service user1-registry-db",
    "NetworkPolicy user1-registry-db",
    "ModelRegistry user1-registry",
    "RoleBinding user1-registry-user1",
    "RoleBinding user1-registry-user1-toolings",
}


def settings(attendees=1, **more):
    """What an instructor gives."""
    values = {"attendees": attendees, "cluster_domain": DOMAIN, "seed": SEED, **more}
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def render_class(helm, *arguments, **more):
    return render(helm, CLASS, *settings(*arguments, **more), "--namespace", "jukebox-class")


@pytest.fixture(scope="module")
def one(helm):
    return render_class(helm)


@pytest.fixture(scope="module")
def three(helm):
    return render_class(helm, 3)


def named(manifest):
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def namespace_of(manifest):
    return manifest["metadata"].get("namespace", "")


@pytest.mark.parametrize(("kubernetes", "version"), CLUSTERS)
def test_the_schemas_accept_a_class(helm, tmp_path_factory, kubernetes, version):
    python = environment_with(tmp_path_factory.mktemp("tools") / "venv", *TOOLS)
    manifests = render_class(helm, openshift_ai=version)
    broken = json.loads(json.dumps(manifests))
    wrong = {
        "Notebook": lambda spec: spec["template"]["spec"].update(serviceaccount="x"),
        "DataSciencePipelinesApplication": lambda spec: spec["objectStorage"]["externalStorage"].update(port=9000),
        "ModelRegistry": lambda spec: spec["mysql"].pop("host"),
        "AppProject": lambda spec: spec.update(destination=[]),
        "NetworkPolicy": lambda spec: spec["ingress"][0].update(form=[]),
    }
    changed = [manifest for manifest in broken if manifest["kind"] in wrong]
    for manifest in changed:
        wrong[manifest["kind"]](manifest["spec"])
    order = json.dumps({"kubernetes": kubernetes, "manifests": [*manifests, *changed]})
    done = subprocess.run([python, "-I", KIT / "tests/chart_tools.py"], input=order, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    problems = json.loads(done.stdout)["problems"]
    assert [found for found in problems[: len(manifests)] if found] == []
    assert len(changed) == len(wrong) and all(problems[len(manifests) :]), problems[len(manifests) :]


def test_an_attendee_has_all_that_the_page_makes_by_hand(one):
    assert {named(m) for m in one if namespace_of(m) == "user1-toolings"} == IN_THE_PROJECT
    assert {named(m) for m in one if namespace_of(m) == "rhoai-model-registries"} == (
        BESIDE_THE_REGISTRY | {"Role class-setup", "RoleBinding class-setup"}
    )
    assert {named(m) for m in one if namespace_of(m) == "openshift-gitops"} == {
        "AppProject user1-toolings",
        "ApplicationSet user1-toolings",
        "Role class-setup",
        "RoleBinding class-setup",
    }
    [job] = [m for m in one if m["kind"] == "Job"]
    assert {named(m) for m in one if not namespace_of(m)} == {
        "Namespace user1-toolings", "ServiceAccount class-setup", "ConfigMap class-setup", named(job),
    }  # fmt: skip
    labels = of_kind(one, "Namespace")["metadata"]["labels"]
    assert labels["opendatahub.io/dashboard"] == "true"
    assert labels["argocd.argoproj.io/managed-by"] == "openshift-gitops"


@pytest.mark.parametrize("attendees", [1, 3, 40])
def test_everybody_has_the_same_under_names_of_their_own(helm, attendees):
    manifests = render_class(helm, attendees)
    seen = Counter((m["kind"], namespace_of(m), m["metadata"]["name"]) for m in manifests)
    assert max(seen.values()) == 1
    users = [f"user{number}" for number in range(1, attendees + 1)]
    assert [m["metadata"]["name"] for m in manifests if m["kind"] == "Namespace"] == [f"{u}-toolings" for u in users]
    env = of_kind(manifests, "Job")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert json.loads(next(e["value"] for e in env if e["name"] == "USERS")) == users
    shape = [re.sub(r"\buser1\b", "USER", named(m)) for m in manifests if re.search(r"\buser1\b", json.dumps(m))]
    for user in users[1:]:
        mine = [m for m in manifests if re.search(rf"\b{user}\b", json.dumps(m))]
        assert [re.sub(rf"\b{user}\b", "USER", named(m)) for m in mine] == shape


def test_nothing_of_one_attendee_names_another(three):
    """But the Job's own, which serves all: nobody's Secret, role or repository is in somebody else's project."""
    for manifest in three:
        if manifest["metadata"]["name"].startswith("class-setup"):
            continue
        users = set(re.findall(r"\buser\d+\b", json.dumps(manifest)))
        assert len(users) == 1, (named(manifest), users)
        if (namespace := namespace_of(manifest)).endswith("-toolings"):
            assert namespace == f"{users.pop()}-toolings"


def test_nothing_secret_is_rendered(three):
    assert not [m for m in three if m["kind"] == "Secret"]
    text = json.dumps(three)
    for name in re.findall(r'"name": "(\w*(?:PASSWORD|USERNAME)\w*)"', text):
        assert f'"name": "{name}", "valueFrom": {{"secretKeyRef"' in text, name
    assert "stringData" not in text


def test_the_job_may_do_what_it_does_and_no_more(three):
    rules = {
        namespace_of(m): [(r["resources"], r.get("resourceNames"), r["verbs"]) for r in m["rules"]]
        for m in three
        if m["kind"] == "Role"
    }
    create = (["secrets"], None, ["create"])
    own = (["secrets"], ["git-auth", "ct-pipeline-webhook"], ["get"])
    assert rules == {
        **{f"user{number}-toolings": [create, own] for number in (1, 2, 3)},
        "rhoai-model-registries": [create],
        "openshift-gitops": [create, (["secrets"], ["user1-gitea", "user2-gitea", "user3-gitea"], ["patch"])],
    }
    subjects = [m["subjects"] for m in three if named(m) == "RoleBinding class-setup"]
    assert len(subjects) == 5
    assert all(s == [{"kind": "ServiceAccount", "name": "class-setup", "namespace": "jukebox-class"}] for s in subjects)
    assert not [m for m in three if m["kind"].startswith("Cluster")]


def test_an_attendees_pushes_reach_their_own_project_only(three):
    for user in ("user1", "user2", "user3"):
        gitea = f"https://gitea-gitea.{DOMAIN}/{user}"
        project = of_kind(three, "AppProject", f"{user}-toolings")["spec"]
        assert project["sourceRepos"] == [f"{gitea}/jukebox.git", f"{gitea}/mlops-gitops.git"]
        assert [target["namespace"] for target in project["destinations"]] == [f"{user}-toolings"]
        assert "clusterResourceWhitelist" not in project  # so nothing of the whole cluster
        applications = of_kind(
            [m for m in three if m["kind"] == "ApplicationSet"], "ApplicationSet", f"{user}-toolings"
        )
        template = applications["spec"]["template"]["spec"]
        assert template["project"] == f"{user}-toolings" == template["destination"]["namespace"]
        assert {source["repoURL"] for source in template["sources"]} == set(project["sourceRepos"])


def test_only_the_registry_reaches_its_database(one):
    policy, deployment = of_kind(one, "NetworkPolicy")["spec"], of_kind(one, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == labels == of_kind(one, "Service")["spec"]["selector"]
    assert policy["ingress"] == [
        {
            "from": [{"podSelector": {"matchLabels": {"app": "user1-registry"}}}],
            "ports": [{"protocol": "TCP", "port": 3306}],
        }
    ]
    mysql = of_kind(one, "ModelRegistry")["spec"]["mysql"]
    assert mysql["host"] == "user1-registry-db.rhoai-model-registries.svc.cluster.local"
    env = {e["name"]: e for e in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env["MYSQL_PASSWORD"]["valueFrom"]["secretKeyRef"] == mysql["passwordSecret"]
    assert (mysql["database"], mysql["username"]) == (env["MYSQL_DATABASE"]["value"], env["MYSQL_USER"]["value"])


def test_the_pipeline_server_takes_the_connection_and_the_bucket_that_minio_makes(one):
    storage = of_kind(one, "DataSciencePipelinesApplication")["spec"]["objectStorage"]["externalStorage"]
    assert (storage["scheme"], storage["host"], storage["port"]) == (
        "http", "minio.user1-toolings.svc.cluster.local", "9000",
    )  # fmt: skip
    secret = storage["s3CredentialsSecret"]
    assert secret["secretName"] == f"aws-connection-{storage['bucket']}" == "aws-connection-pipeline"
    assert {secret["accessKey"], secret["secretKey"]} <= set(CONNECTION_KEYS)


def test_the_workbench_is_as_the_kit_expects_it(one):
    notebook = of_kind(one, "Notebook")
    name, pod = notebook["metadata"]["name"], notebook["spec"]["template"]["spec"]
    [container], [clone] = pod["containers"], pod["initContainers"]
    assert pod["serviceAccountName"] == container["name"] == name == "user1-hitmusic-wb"
    given = [source["secretRef"]["name"] for source in container["envFrom"]]
    assert given == ["git-auth", "aws-connection-models"]
    plain = {entry["name"]: entry["value"] for entry in container["env"]}
    assert plain["cluster_domain"] == DOMAIN
    assert f"base_url=/notebook/user1-toolings/{name}" in plain["NOTEBOOK_ARGS"]
    assert container["readinessProbe"]["httpGet"]["path"] == f"/notebook/user1-toolings/{name}/api"
    assert clone["image"] == BASE_IMAGE and clone["volumeMounts"][0] == container["volumeMounts"][0]
    binding = of_kind(one, "RoleBinding", name)
    assert binding["roleRef"]["name"] == "ds-pipeline-user-access-dspa"
    assert [subject["name"] for subject in binding["subjects"]] == [name]
    for found in (container, clone):
        assert found["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize(("version", "api", "proxy", "auth"), [
    ("2", "v1alpha1", "oauthProxy", "inject-oauth"), ("3", "v1beta1", "kubeRBACProxy", "inject-auth"),
])  # fmt: skip
def test_each_version_of_openshift_ai_gets_the_proxy_that_it_knows(helm, version, api, proxy, auth):
    for manifests in (
        render_class(helm, openshift_ai=version),
        render(
            helm, CLASS, *settings(), *(["--api-versions", "datasciencecluster.opendatahub.io/v2"] * (version == "3"))
        ),
    ):
        registry = of_kind(manifests, "ModelRegistry")
        assert registry["apiVersion"] == f"modelregistry.opendatahub.io/{api}"
        assert [key for key in registry["spec"] if key.endswith("Proxy")] == [proxy]
        annotations = of_kind(manifests, "Notebook")["metadata"]["annotations"]
        assert [key for key in annotations if "inject" in key] == [f"notebooks.opendatahub.io/{auth}"]


def test_a_class_without_registries_asks_for_nothing_there(helm):
    manifests = render_class(helm, 2, **{"registry.create": "false"})
    assert "rhoai-model-registries" not in json.dumps([m for m in manifests if m["kind"] != "ConfigMap"])
    env = of_kind(manifests, "Job")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "REGISTRY_NAMESPACE", "value": ""} in env


def test_more_attendees_change_nothing_of_those_who_are_there(helm, three):
    again, more = render_class(helm, 3), render_class(helm, 8)
    assert again == three
    later = {(namespace_of(m), named(m)): m for m in more}
    for manifest in three:
        key = (namespace_of(manifest), named(manifest))
        if manifest["kind"] == "Job":  # which cannot change
            assert key not in later
        elif key != ("openshift-gitops", "Role class-setup"):  # of which there are more Secrets to patch
            assert later[key] == manifest


@pytest.mark.parametrize(
    "setting",
    [
        "attendees=0", "attendees=1.5", "attendees=many", "attendees=201", "attendes=3", "cluster_domain=",
        "cluster_domain=https://apps.example.com", "seed=", "seed=https://me:secret@git.example.com/x.git",
        "seed=http://git.example.com/x.git", "openshift_ai=4", "images.mysql=mysql:latest", "workbench.memory=much",
    ],
)  # fmt: skip
def test_values_that_mean_nothing_are_refused(helm, setting):
    done = helm(CLASS, *settings(), "--set", setting)
    assert done.returncode and "values don't meet the specifications of the schema" in done.stderr


def test_the_instructors_page_installs_what_is_so(helm):
    page = (KIT / "docs" / "rhoai.md").read_text()
    [(namespace, words)] = re.findall(r"helm upgrade --install class charts/class -n (\S+) (.*?)\n```", page, re.DOTALL)
    arguments = shlex.split(words.replace("\\\n", " ").replace("$domain", DOMAIN))
    manifests = render(helm, CLASS, *arguments, "--namespace", namespace)
    job = of_kind([m for m in manifests if m["kind"] == "Job"], "Job")
    env = {e["name"]: e for e in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert (env["SEED"]["value"], len(json.loads(env["USERS"]["value"]))) == (SEED, 25)
    secret = env["ADMIN_PASSWORD"]["valueFrom"]["secretKeyRef"]["name"]
    names = [f"create secret generic {secret} -n {namespace}", f"-l app.kubernetes.io/name={labels_of(job)}"]
    names += ["--set remove_projects=true", "`registry.create=false`", "`user<N>-gitea`", "`user<N>-registry-db`"]
    names += [of_kind(manifests, "Notebook", "user1-hitmusic-wb")["metadata"]["name"]]
    assert not [name for name in names if name not in page]


def labels_of(job):
    """The name by which a Job's pods are found."""
    return job["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]


class Cluster(ThreadingHTTPServer):
    """As much of a Kubernetes API as Helm asks for a list of namespaces: its version, its kinds, and the list."""

    def __init__(self, *namespaces):
        items = [
            {"metadata": {"name": name, "labels": {"jukebox-class": release} if release else {}}}
            for name, release in namespaces
        ]
        kind = {"name": "namespaces", "singularName": "", "namespaced": False, "kind": "Namespace", "verbs": ["list"]}
        answers = {
            "/version": {"major": "1", "minor": "31", "gitVersion": "v1.31.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [kind]},
            "/api/v1/namespaces": {"kind": "NamespaceList", "apiVersion": "v1", "metadata": {}, "items": items},
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                known = answers.get(self.path.partition("?")[0])
                text = json.dumps(known or {"kind": "Status", "code": 404}).encode()
                self.send_response(200 if known else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *arguments):
                """Keep the tests' output clean."""

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


def test_fewer_attendees_do_not_delete_a_project_by_a_slip_of_the_hand(helm):
    cluster = Cluster(
        ("user2-toolings", "x"), ("user5-toolings", "x"), ("user7-toolings", "another"), ("default", "")
    )  # fmt: skip
    try:
        where = ("--dry-run=server", "--kube-apiserver", f"http://127.0.0.1:{cluster.server_port}")
        refused = helm(CLASS, *settings(4), *where)
        assert refused.returncode and "would delete the project user5-toolings with all that is in it" in refused.stderr
        for allowed in (settings(5), settings(4, remove_projects="true")):
            done = helm(CLASS, *allowed, *where)
            assert done.returncode == 0, done.stderr
    finally:
        cluster.shutdown()
        cluster.server_close()
