"""Declaring a step: its image, its packages, and the source that travels with it."""

import os
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.carry import AROUND, carried
from jukebox_helpers.settings import KIT, need_checkout
from jukebox_helpers.steps.git_password import server_of

BASE_IMAGE = "registry.access.redhat.com/ubi9/python-312:9.7"
"""Has git and Python 3.12, and lets any UID install packages. ``JUKEBOX_BASE_IMAGE`` replaces it."""

ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""Of every step. OpenBLAS begins with a thread for each processor of the node, whatever the pod may use of them."""


INSTALL = ("--no-deps", "--no-compile")
"""Of ``pip install`` in each step: every package that it needs is named, and Python compiles only what is imported."""

UNUSED = ("hydra-core", "omegaconf")
"""What DVC needs for experiments only: they need a package without a wheel, which is built with whatever is newest."""


def read_lock() -> tuple[dict[str, list[str]], dict[str, set[str]]]:
    """What requirements.txt, the one table of versions, says.

    Returns:
        By package: its pins, one for each line, e.g. ``numpy==2.4.6 ; python_full_version < "3.12"``; and the packages
        that it needs, as the comments ``# via`` have it. The lack of a checkout, which has the file, is a JukeboxError.
    """
    lock = KIT / "requirements.txt"
    if not lock.is_file():
        need_checkout()
    pins: dict[str, list[str]] = {}
    needs: dict[str, set[str]] = {}
    name = ""
    for line in lock.read_text().splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==(.*?)(?: \\)?$", line):
            name = match[1]
            pins.setdefault(name, []).append(f"{name}=={match[2]}".replace("'", '"'))
        elif match := re.match(r" {4}#(?: via| {2})(?: (\S+))?", line):
            needs.setdefault(match[1] or "", set()).add(name)
    return pins, needs


def requirements(*packages: str) -> list[str]:
    """The pins of packages, e.g. ``"dvc[s3]"``, and of all that they need, sorted.

    Extras are those that the kit installs, named or not. A package that requirements.txt does not name is a
    JukeboxError.
    """
    pins, needs = read_lock()
    found: set[str] = set()
    ahead = [package.split("[")[0] for package in packages]
    while ahead:
        if (name := ahead.pop()) in {*found, *UNUSED}:
            continue
        if name not in pins:
            raise JukeboxError(
                f"requirements.txt does not name the package {name!r} that a step declares.",
                "Add it to pyproject.toml and lock again (docs/architecture.md says how).",
            )
        found.add(name)
        ahead += needs.get(name, ())
    return [pin for name in sorted(found) for pin in pins[name]]


def packages_installed(compiled: Iterable[str]) -> list[str]:
    """The names of the packages that the steps of compiled pipelines install, sorted: what a steps image holds."""
    found = (
        re.findall(r"'([a-z0-9-]+)==", line) for text in compiled for line in re.findall(".* pip install .*", text)
    )
    return sorted({name for names in found for name in names})


def step(*packages: str, quiet: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Declare a pipeline step: a decorator that turns a function into a KFP component.

    The packages, and what they need, are what the step installs in the cluster, in the versions of requirements.txt;
    so is kfp, which starts the step and needs none of its own dependencies for that. What the step uses of the library
    is carried inside the compiled YAML, because the step's container has no Jukebox.

    KFP prints what a step is given, once it has loaded the step's source. A ``quiet`` step keeps it from that: one that
    is given an address, which may hold a signature or a password.
    """
    from kfp import dsl

    index = os.environ.get("JUKEBOX_PACKAGE_INDEX")
    if index and "@" in urlsplit(index).netloc:
        raise JukeboxError(
            "JUKEBOX_PACKAGE_INDEX holds a user name or a password, which would be written into the YAML.",
            "Name an index that asks for none, e.g. a proxy inside the cluster.",
        )

    def decorate(function: Callable[..., Any]) -> Any:
        component = dsl.component(
            function,
            base_image=os.environ.get("JUKEBOX_BASE_IMAGE", BASE_IMAGE),
            install_kfp_package=False,
            packages_to_install=[*INSTALL, *read_lock()[0]["kfp"], *requirements(*packages)],
            pip_index_urls=[index] if index else None,
        )
        # KFP has additional_funcs for this, but not yet in 2.14; the result is the same, byte for byte.
        container = component.component_spec.implementation.container
        container.env = dict(ENVIRONMENT)
        command = container.command
        head = "from typing import *\n\n"
        hook = f"\nsys.excepthook = {AROUND[1]}\n"
        hook += "import logging\nlogging.disable(logging.INFO)\n" * quiet
        command[-1] = command[-1].replace(head, head + carried(function), 1) + hook
        return component

    return decorate


def name_git_server(containers: Any, executors: Any) -> None:
    """Give the git server that ``JUKEBOX_GIT_SERVER`` names to the steps that have the git password.

    ``containers``, the executors of the pipeline spec, are changed in place; ``executors`` are the platform spec's.
    """
    if not (named := os.environ.get("JUKEBOX_GIT_SERVER", "")):
        return
    if not (server := server_of(named)):
        raise JukeboxError("JUKEBOX_GIT_SERVER is not an address.", "Set it to https://<host of the git server>.")
    for label, executor in executors.items():
        secrets = dict(executor).get("secretAsEnv", [])
        if any(secret["secretName"] == "git-auth" for secret in secrets):
            variables = containers[label]["container"].get_or_create_list("env")
            if not any(variable["name"] == "JUKEBOX_GIT_SERVER" for variable in variables):  # compiled before
                variables.append({"name": "JUKEBOX_GIT_SERVER", "value": server})
