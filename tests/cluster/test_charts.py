"""The charts: rendered by Helm itself, held against the schemas of the clusters, and evaluated as the clusters do."""

import copy
import json
import re
import shlex
import shutil
import uuid

import pytest
import yaml
from rendering import CHARTS, DOMAIN, NAMESPACE, NEWEST, OLDEST, TOOLINGS, of_kind, render, render_ct_pipeline

from jukebox_helpers.pipelines.actions import DATA_PIPELINE_NAME
from jukebox_helpers.pipelines.declare import BASE_IMAGE
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.settings import DATA_PIPELINE_YAML, KIT
from jukebox_helpers.workshop import edits
from jukebox_sandbox import buckets
from jukebox_sandbox.events import MAIN, judge, sign

SET = KIT / "mlops-gitops" / "applicationset"


@pytest.fixture(scope="module")
def minio(helm):
    return render(helm, CHARTS / "minio", "--values", TOOLINGS / "minio" / "config.yaml")


@pytest.fixture(scope="module")
def ct_pipeline(helm):
    return render_ct_pipeline(helm)


@pytest.fixture(scope="module")
def application_set(helm):
    return render(helm, SET, "--set", "user=user1", "--set", f"cluster_domain={DOMAIN}")


@pytest.fixture(scope="module")
def manifests(minio, ct_pipeline, application_set):
    return [*minio, *ct_pipeline, *application_set]


def a_run(template):
    """The PipelineRun that a push makes."""
    text = json.dumps(template["spec"]["resourcetemplates"][0])
    return json.loads(re.sub(r"\$\(tt\.params\.\w+\)", "0123456789", text))


def break_one(manifest):
    """Break a manifest in one place."""
    spec = manifest.get("spec", {})

    def rename(place, old, new):
        place[new] = place.pop(old)

    breaks = {
        "PersistentVolumeClaim": lambda: spec.update(accessModes="ReadWriteOnce"),
        "Deployment": lambda: spec.pop("selector"),
        "Service": lambda: spec["ports"][0].update(port="http"),
        "Route": lambda: spec["tls"].update(termination="edgy"),
        "ServiceAccount": lambda: manifest.update(automountServiceAccountToken="yes"),
        "Role": lambda: rename(manifest["rules"][0], "verbs", "verb"),
        "RoleBinding": lambda: manifest.pop("roleRef"),
        "ConfigMap": lambda: manifest["data"].update(number=5),
        "Job": lambda: rename(spec["template"]["spec"], "serviceAccountName", "serviceaccount"),
        "Pipeline": lambda: rename(spec["tasks"][1], "runAfter", "runafter"),
        "TriggerBinding": lambda: rename(spec["params"][0], "value", "valueFrom"),
        "TriggerTemplate": lambda: rename(spec, "resourcetemplates", "resourceTemplates"),
        "EventListener": lambda: spec["triggers"][0]["interceptors"][0].pop("ref"),
        "ApplicationSet": lambda: spec["generators"][0]["git"].pop("revision"),
        "PipelineRun": lambda: rename(spec["taskRunTemplate"], "serviceAccountName", "serviceAccount"),
    }
    breaks[manifest["kind"]]()
    return manifest


KINDS = (
    "PersistentVolumeClaim", "Deployment", "Service", "Route", "ServiceAccount", "Role", "RoleBinding", "ConfigMap",
    "Job", "Pipeline", "TriggerBinding", "TriggerTemplate", "EventListener", "ApplicationSet", "PipelineRun",
)  # fmt: skip


@pytest.fixture(scope="module", params=[OLDEST, NEWEST])
def verdicts(request, ask, manifests):
    """What the schemas say of each manifest, as it is and broken in one place."""
    good = [*manifests, a_run(of_kind(manifests, "TriggerTemplate"))]
    broken = [break_one(copy.deepcopy(manifest)) for manifest in good]
    answer = ask(kubernetes=request.param, manifests=[*good, *broken])["problems"]
    return [(m["kind"], answer[n], answer[n + len(good)]) for n, m in enumerate(good)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_schemas_accept_what_is_rendered_and_refuse_it_broken(verdicts, kind):
    seen = [(as_it_is, broken) for name, as_it_is, broken in verdicts if name == kind]
    assert seen and {name for name, *_ in verdicts} == set(KINDS)
    assert all(as_it_is == [] for as_it_is, _ in seen), seen
    assert all(broken for _, broken in seen), seen


def test_what_a_schema_leaves_open_is_checked_too(ask, ct_pipeline):
    """Metadata, volumes and claims belong to Kubernetes, the run inside of a template to Tekton."""
    pipeline, template = (copy.deepcopy(of_kind(ct_pipeline, kind)) for kind in ("Pipeline", "TriggerTemplate"))
    pipeline["spec"]["tasks"][0]["taskSpec"]["volumes"][0]["configMap"]["nome"] = "x"
    named = {**of_kind(ct_pipeline, "TriggerBinding"), "metadata": {"name": "x", "label": {}}}
    run = a_run(template)
    run["spec"]["workspaces"][0]["volumeClaimTemplate"]["spec"]["accessModes"] = "ReadWriteOnce"
    template["spec"]["resourcetemplates"][0]["spec"]["pipeline"] = "x"
    answer = ask(kubernetes=NEWEST, manifests=[pipeline, named, run, template])["problems"]
    for found, word in zip(answer, ("nome", "label", "ReadWriteOnce", "'pipeline' was unexpected"), strict=True):
        assert any(word in problem for problem in found), found


def test_rendering_again_gives_the_same(helm):
    arguments = (CHARTS / "minio", "--values", TOOLINGS / "minio" / "config.yaml")
    assert helm(*arguments).stdout == helm(*arguments).stdout != ""


def test_minio_is_all_there(minio, manifests):
    assert {(m["kind"], m["metadata"]["name"]) for m in minio if m["kind"] not in ("Job", "ConfigMap")} == {
        ("PersistentVolumeClaim", "minio"),
        ("Deployment", "minio"),
        ("Service", "minio"),
        ("Route", "minio-s3"),
        ("Route", "minio-ui"),
        ("ServiceAccount", "minio-setup"),
        ("Role", "minio-setup"),
        ("RoleBinding", "minio-setup"),
    }
    assert of_kind(minio, "Deployment")["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"] == {
        "claimName": "minio"
    }
    ports = {port["name"] for port in of_kind(minio, "Service")["spec"]["ports"]}
    for route in (m for m in manifests if m["kind"] == "Route" and m["spec"]["to"]["name"] == "minio"):
        assert route["spec"]["port"]["targetPort"] in ports


def test_a_job_is_another_one_when_something_changes(helm, minio, tmp_path):
    config = tmp_path / "config.yaml"
    shutil.copy(TOOLINGS / "minio" / "config.yaml", config)
    edits.add_buckets(config, ["data"])
    more = render(helm, CHARTS / "minio", "--values", config)
    before, after = of_kind(minio, "Job"), of_kind(more, "Job")
    assert before["metadata"]["name"] != after["metadata"]["name"]
    env = after["spec"]["template"]["spec"]["initContainers"][0]["env"]
    assert json.loads(next(e["value"] for e in env if e["name"] == "BUCKETS")) == ["pipeline", "models", "data"]
    assert "aws-connection-data" in json.dumps(of_kind(more, "Role"))


def containers(manifest):
    """Every container and step of a manifest."""
    if isinstance(manifest, list):
        return [found for item in manifest for found in containers(item)]
    if not isinstance(manifest, dict):
        return []
    here = [manifest] if "image" in manifest else []
    return here + [found for value in manifest.values() for found in containers(value)]


def test_nothing_secret_is_rendered(manifests):
    assert not [m for m in manifests if m["kind"] == "Secret"]
    values = [v for found in containers(manifests) for v in found.get("env", [])]
    secret = [v for v in values if re.search("password|user", v["name"], re.IGNORECASE)]
    assert len(secret) == 10
    assert all(set(value["valueFrom"]) == {"secretKeyRef"} for value in secret)


def test_images_are_pinned_and_run_as_anybody(manifests):
    found = containers(manifests)
    assert len(found) == 7
    for container in found:
        assert re.search(r":[^:/]*\d[^:/]*$", container["image"]), container["image"]
        assert container["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    python = {c["image"] for c in found if "minio/minio" not in c["image"]}
    assert python == {BASE_IMAGE}


@pytest.mark.parametrize(
    "name",
    ["data", "data-cache", "a.b", "Data", "da", "-data", "data-", "a..b", "1.2.3.4", "xn--data", "data-s3alias", "a b"],
)
def test_the_chart_and_the_kit_agree_on_bucket_names(helm, tmp_path, name):
    config = tmp_path / "config.yaml"
    config.write_text(f"chart_path: charts/minio\nbuckets:\n  - name: '{name}'\n")
    done = helm(CHARTS / "minio", "--values", config)
    assert bool(done.returncode) == bool(buckets.broken_rule(name)), done.stderr
    assert not done.returncode or "buckets" in done.stderr


@pytest.mark.parametrize(
    ("chart", "setting"),
    [
        ("minio", "bukcets[0].name=data"),
        ("minio", "buckets[0].name=data,buckets[0].size=5"),
        ("minio", "buckets[0].name=data,buckets[1].name=data"),
        ("minio", "storage=much"),
        ("minio", "images.minio=quay.io/minio/minio"),
        ("minio", "images.minio=quay.io/minio/minio:latest"),
        ("ct-pipeline", "cluster_domain="),
        ("ct-pipeline", "cluster_domain=https://apps.cluster.example.com"),
        ("ct-pipeline", "repository=x' || true || '"),
        ("ct-pipeline", "package_index=https://me:secret@index.example.com"),
        ("ct-pipeline", "timeout=long"),
        ("applicationset", "user=user1-toolings"),
        ("applicationset", "user="),
    ],
)
def test_values_that_mean_nothing_are_refused(helm, chart, setting):
    folder = SET if chart == "applicationset" else CHARTS / chart
    valid = {"minio": [], "ct-pipeline": [f"cluster_domain={DOMAIN}"]}.get(
        chart, ["user=user1", f"cluster_domain={DOMAIN}"]
    )
    arguments = [word for one in [*valid, setting] for word in ("--set", one)]
    done = helm(folder, *arguments)
    assert done.returncode and "values don't meet the specifications of the schema" in done.stderr
    assert helm(folder, *arguments[:-2]).returncode == 0


def test_the_task_asks_for_what_the_kit_asks_for(ct_pipeline):
    pipeline = of_kind(ct_pipeline, "Pipeline")
    clone, train = (task["taskSpec"]["steps"][0] for task in pipeline["spec"]["tasks"])
    plain = {entry["name"]: entry["value"] for entry in train["env"] if "value" in entry}
    assert plain["KF_PIPELINES_ENDPOINT"] == f"https://ds-pipeline-dspa.{NAMESPACE}.svc:8443"
    assert plain["cluster_domain"] == DOMAIN and plain["JUKEBOX_BASE_IMAGE"] == BASE_IMAGE
    url = next(entry["value"] for entry in clone["env"] if entry["name"] == "URL")
    assert url == f"https://gitea-gitea.{DOMAIN}/user1/jukebox.git"
    assert plain["JUKEBOX_GIT_SERVER"] == f"https://gitea-gitea.{DOMAIN}"
    binding = of_kind(ct_pipeline, "RoleBinding", "ct-pipeline")
    assert binding["roleRef"]["name"] == "ds-pipeline-user-access-dspa"
    run = a_run(of_kind(ct_pipeline, "TriggerTemplate"))["spec"]
    assert run["taskRunTemplate"]["serviceAccountName"] == binding["subjects"][0]["name"] == "ct-pipeline"
    assert run["pipelineRef"]["name"] == pipeline["metadata"]["name"]
    assert of_kind(ct_pipeline, "Route")["spec"]["to"]["name"] == "el-ct-pipeline"


def test_a_disconnected_cluster_has_its_own_index_and_image(helm):
    mirror = "registry.example.com/python:3.12"
    rendered = render_ct_pipeline(helm, "package_index=https://index.example.com/simple", f"images.python={mirror}")
    step = of_kind(rendered, "Pipeline")["spec"]["tasks"][1]["taskSpec"]["steps"][0]
    plain = {entry["name"]: entry.get("value") for entry in step["env"]}
    assert plain["JUKEBOX_PACKAGE_INDEX"] == plain["PIP_INDEX_URL"] == "https://index.example.com/simple"
    assert {found["image"] for found in containers(rendered)} == {mirror} == {plain["JUKEBOX_BASE_IMAGE"]}


HEAD = "abcdef0123456789abcdef0123456789abcdef01"
PUSH = {"ref": MAIN, "after": HEAD, "repository": {"name": "jukebox", "full_name": "user1/jukebox"}}
EVENTS = {
    "main": ("push", PUSH, True),
    "another branch": ("push", {**PUSH, "ref": "refs/heads/dev"}, False),
    "a tag": ("push", {**PUSH, "ref": "refs/tags/main"}, False),
    "a longer branch": ("push", {**PUSH, "ref": MAIN + "tenance"}, False),
    "a deleted branch": ("push", {**PUSH, "after": "0" * 40}, False),
    "another repository": ("push", {**PUSH, "repository": {"name": "songs", "full_name": "user1/songs"}}, False),
    "another user": ("push", {**PUSH, "repository": {"name": "jukebox", "full_name": "user2/jukebox"}}, False),
    "a message": ("push", {**PUSH, "head_commit": {"id": HEAD, "message": "More\n\nskip ci"}}, True),
    "nothing to do": ("push", {**PUSH, "head_commit": {"id": HEAD, "message": "The start\n\n[skip ci]"}}, False),
    "a path": ("push", {**PUSH, "after": "../../x"}, False),
    "a number": ("push", {**PUSH, "after": 7}, False),
    "another event": ("pull_request", PUSH, False),
    "not a push's body": ("push", {"zen": "Half measures"}, False),
}


def test_the_cluster_follows_the_pushes_that_the_sandbox_follows(ask, ct_pipeline):
    github, cel = of_kind(ct_pipeline, "EventListener")["spec"]["triggers"][0]["interceptors"]
    settings = [{param["name"]: param["value"] for param in i["params"]} for i in (github, cel)]
    [overlay] = settings[1]["overlays"]
    bodies = [{"body": body} for _, body, _ in EVENTS.values()]
    answer = ask(
        kubernetes=NEWEST,
        expressions=[(settings[1]["filter"], b) for b in bodies] + [(overlay["expression"], bodies[0])],
    )["values"]
    for (name, (event, body, follows)), said in zip(EVENTS.items(), answer, strict=False):
        cluster = event in settings[0]["eventTypes"] and said is True
        raw = json.dumps(body).encode()
        headers = {"X-Gitea-Event": event, "X-Gitea-Signature": sign(raw, "key")}
        judged, state, _ = judge(headers, raw, "key", "user1", ("jukebox", "mlops-gitops"))
        assert cluster == (state == "queued") == follows, name
        if follows:
            assert answer[-1] == judged["version"] == HEAD[:10] and overlay["key"] == "version"
    binding = {p["name"]: p["value"] for p in of_kind(ct_pipeline, "TriggerBinding")["spec"]["params"]}
    assert binding == {"revision": "$(body.after)", "version": "$(extensions.version)"}


def test_the_listener_asks_for_the_secret_that_the_job_makes(ct_pipeline):
    github = of_kind(ct_pipeline, "EventListener")["spec"]["triggers"][0]["interceptors"][0]
    asked = next(param["value"] for param in github["params"] if param["name"] == "secretRef")
    job = of_kind(ct_pipeline, "Job")["spec"]["template"]["spec"]["containers"][0]
    made = json.loads(next(entry["value"] for entry in job["env"] if entry["name"] == "GENERATE"))
    assert list(made) == [asked["secretName"]] and list(made[asked["secretName"]]) == [asked["secretKey"]]


def test_argo_makes_an_application_of_each_config(helm, application_set, tmp_path):
    """Argo CD fills the template with Go's engine and sprig, as Helm does, from the file and its path."""
    spec = application_set[0]["spec"]
    [generator] = [g["git"] for g in spec["generators"]]
    assert generator["repoURL"] == f"https://gitea-gitea.{DOMAIN}/user1/mlops-gitops.git"
    [pattern] = [file["path"] for file in generator["files"]]
    files = sorted((KIT / "mlops-gitops").glob(pattern))
    assert [file.parent.name for file in files] == ["ct-pipeline", "minio"]

    engine = tmp_path / "engine"
    (engine / "templates").mkdir(parents=True)
    (engine / "Chart.yaml").write_text("apiVersion: v2\nname: engine\nversion: 0.1.0\n")
    (engine / "templates" / "application.yaml").write_text("{{ tpl .Values.template .Values.parameters }}")
    for file in files:
        folder = file.parent.relative_to(KIT / "mlops-gitops")
        parameters = {**yaml.safe_load(file.read_text()), "path": {"path": str(folder), "basename": folder.name}}
        values = tmp_path / f"{uuid.uuid4()}.yaml"
        values.write_text(yaml.safe_dump({"template": yaml.safe_dump(spec["template"]), "parameters": parameters}))
        [application] = render(helm, engine, "--values", values)
        assert application["metadata"]["name"] == f"user1-{folder.name}"
        assert application["spec"]["destination"]["namespace"] == NAMESPACE
        chart, config = application["spec"]["sources"]
        assert config["ref"] == "config" and chart["repoURL"].endswith("/user1/jukebox.git")
        given = [str(KIT / "mlops-gitops" / f.removeprefix("$config/")) for f in chart["helm"]["valueFiles"]]
        settings = [f"{p['name']}={p['value']}" for p in chart["helm"]["parameters"]]
        made = render(helm, KIT / chart["path"], "--values", *given, "--set", *settings)
        assert "Job" in {manifest["kind"] for manifest in made}


def test_the_instructors_page_says_what_is_so(helm, minio, ct_pipeline):
    page = (KIT / "docs" / "rhoai.md").read_text()
    [command] = re.findall(r"^helm template toolings (.*) \| oc apply", page, re.MULTILINE)
    chart, *arguments = shlex.split(command.replace("$user", "user1").replace("$domain", DOMAIN))
    assert render(helm, KIT / chart, *arguments)[0]["metadata"]["name"] == "user1-toolings"

    pipeline = read_pipeline((KIT / DATA_PIPELINE_YAML).read_text())
    assert pipeline.name == DATA_PIPELINE_NAME
    names = [f"`{DATA_PIPELINE_NAME}{what}`" for what in ("", "-daily", "-adhoc-run")]
    names += [f"**{parameter}**" for parameter in pipeline.parameters] + [", ".join(pipeline.steps())]
    job = of_kind(minio, "Job")["spec"]["template"]["spec"]
    names += [entry["value"] for entry in job["containers"][0]["env"] if entry["name"] == "ENDPOINT"]
    # A route without a host is reached at <name>-<namespace>.<domain>.
    names += [f"https://{of_kind(ct_pipeline, 'Route')['metadata']['name']}-{NAMESPACE}.apps.<cluster>"]
    names += [f"secret/{of_kind(ct_pipeline, 'EventListener')['metadata']['name']}-webhook"]
    missing = [name for name in names if name not in page]
    assert not missing
