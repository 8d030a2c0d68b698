"""The steps image: the chart that builds it, its Containerfile, and the packages in it."""

import copy
import re
import shutil
import subprocess

import pytest
from rendering import CHARTS, DOMAIN, NEWEST, OLDEST, of_kind, render, render_ct_pipeline

from jukebox_helpers.pipelines.declare import BASE_IMAGE, packages_installed, read_lock, requirements
from jukebox_helpers.settings import DATA_PIPELINE_YAML, KIT, STEPS_PACKAGES

CHART = CHARTS / "steps-image"
SHARED = KIT / "mlops-gitops" / "shared" / "steps-image" / "config.yaml"
REPOSITORY = f"repository_url=https://gitea-gitea.{DOMAIN}/user1/jukebox.git"


@pytest.fixture(scope="module")
def steps_image(helm):
    return render(helm, CHART, "--values", SHARED, "--set", REPOSITORY)


def break_one(manifest):
    """Break a manifest in one place."""
    spec = manifest.get("spec", {})
    breaks = {
        "BuildConfig": lambda: spec["strategy"].update(dockerfilePath="Containerfile"),
        "ImageStream": lambda: spec["lookupPolicy"].update(local="yes"),
        "RoleBinding": lambda: manifest.pop("roleRef"),
    }
    breaks[manifest["kind"]]()
    return manifest


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_schemas_accept_what_is_rendered_and_refuse_it_broken(ask, steps_image, version):
    broken = [break_one(copy.deepcopy(manifest)) for manifest in steps_image]
    said = ask(kubernetes=version, manifests=[*steps_image, *broken])["problems"]
    assert {manifest["kind"] for manifest in steps_image} == {"ImageStream", "BuildConfig", "RoleBinding"}
    assert said[:3] == [[], [], []] and all(said[3:])


def test_the_image_is_built_from_the_repository_on_the_image_of_the_steps(steps_image, helm):
    spec = of_kind(steps_image, "BuildConfig")["spec"]
    assert spec["source"]["git"] == {"uri": REPOSITORY.removeprefix("repository_url="), "ref": "main"}
    assert spec["source"]["sourceSecret"] == {"name": "git-auth"}
    build = spec["strategy"]["dockerStrategy"]
    assert build["from"] == {"kind": "DockerImage", "name": BASE_IMAGE} and "buildArgs" not in build
    text = (KIT / build["dockerfilePath"]).read_text()
    assert f"\nFROM {BASE_IMAGE}\n" in text and "\nARG PIP_INDEX_URL\n" in text
    [copied] = re.findall("^COPY (.*) /tmp/steps/$", text, re.MULTILINE)
    assert all((KIT / file).is_file() for file in copied.split())
    stream = of_kind(steps_image, "ImageStream")["metadata"]["name"]
    assert spec["output"]["to"] == {"kind": "ImageStreamTag", "name": f"{stream}:py312"}

    index, mirror = "https://packages.example.com/simple", "registry.example.com/python:3.12"
    alone = render(
        helm, CHART, "--set", f"{REPOSITORY},shared=false,git_secret=,package_index={index},images.python={mirror}"
    )
    assert {manifest["kind"] for manifest in alone} == {"ImageStream", "BuildConfig"}
    spec = of_kind(alone, "BuildConfig")["spec"]
    assert "sourceSecret" not in spec["source"] and spec["strategy"]["dockerStrategy"]["from"]["name"] == mirror
    assert spec["strategy"]["dockerStrategy"]["buildArgs"] == [{"name": "PIP_INDEX_URL", "value": index}]


@pytest.mark.parametrize(
    "setting",
    [
        "repository_url=",
        f"repository_url=https://me:secret@gitea-gitea.{DOMAIN}/user1/jukebox.git",
        "tag=latest",
        "tag=a b",
        "branch=main;true",
        "shared=perhaps",
        "images.python=registry.example.com/python",
        "package_index=https://me:secret@index.example.com",
        "attendees=3",
    ],
)
def test_values_that_mean_nothing_are_refused(helm, setting):
    done = helm(CHART, "--set", REPOSITORY, "--set", setting)
    assert done.returncode and "values don't meet the specifications of the schema" in done.stderr


def test_the_list_of_packages_is_that_of_the_steps():
    """./jukebox compile writes it."""
    listed = (KIT / STEPS_PACKAGES).read_text().split()
    assert set(packages_installed([(KIT / DATA_PIPELINE_YAML).read_text()])) < set(listed)
    declared = [
        re.findall(r'"([a-z0-9-]+)[^"]*"', words)
        for file in [*(KIT / "3-prod_datascience").glob("*.py"), *(KIT / "5-data-versioning").glob("*.py")]
        for words in re.findall(r"^@step\((.*)\)$", file.read_text(), re.MULTILINE)
    ]
    pins = requirements(*(name for names in declared for name in names))
    assert listed == sorted({"kfp", *(pin.split("==")[0] for pin in pins)})


def test_the_image_installs_these_packages_of_the_lock_with_their_hashes(tmp_path):
    """The selection as the Containerfile makes it."""
    if not shutil.which("awk"):
        pytest.skip("there is no awk")
    text = (CHART / "files" / "Containerfile").read_text()
    [program, files] = re.findall(r"awk '(.*?)' \\\n +(.*?) >", text, re.DOTALL)[0]
    places = [KIT / (STEPS_PACKAGES if "packages" in file else "requirements.txt") for file in files.split()]
    made = subprocess.run(["awk", program, *places], capture_output=True, text=True, check=True).stdout
    pins, _ = read_lock()
    wanted = [pin for name in (KIT / STEPS_PACKAGES).read_text().split() for pin in pins[name]]
    found = [line.rstrip(" \\").replace("'", '"') for line in made.splitlines() if line[0].isalnum()]
    assert found == wanted
    blocks = re.split(r"^(?=\w)", made, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(wanted) and all("--hash=sha256:" in block for block in blocks)


def test_continuous_training_compiles_for_the_steps_image_by_one_setting(helm):
    image = "image-registry.openshift-image-registry.svc:5000/jukebox-steps/jukebox-steps:py312"
    pipeline = of_kind(render_ct_pipeline(helm, f"images.steps={image}"), "Pipeline")
    clone, train = (task["taskSpec"]["steps"][0] for task in pipeline["spec"]["tasks"])
    assert clone["image"] == train["image"] == BASE_IMAGE
    assert {"name": "JUKEBOX_BASE_IMAGE", "value": image} in train["env"]
