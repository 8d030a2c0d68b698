"""Pipelines: declaring a step, compiling a pipeline to YAML, reading a compiled one.

What runs on the laptop is byte for byte what is imported in the cluster, so the YAML has one maker (here),
is the same at every compile, and is all that the runner (`local_runner`) reads.
"""

import ast
import copy
import dis
import inspect
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any
from urllib.parse import urlsplit

import yaml

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.git_password import server_of
from jukebox_helpers.settings import KIT

DATA_PIPELINE = Path("5-data-versioning/4-data_pipeline_with_dvc_versioning.py")
DATA_PIPELINE_YAML = Path("5-data-versioning/song-properties-etl.yaml")
TRAINING_PIPELINE = Path("3-prod_datascience/prod_train_save_pipeline.py")
TRAINING_PIPELINE_YAML = Path("3-prod_datascience/training-pipeline.yaml")
DEFAULT_PARAMETERS = Path("3-prod_datascience/default_parameters.json")

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The C parser, where PyYAML has it, reads a pipeline forty times as fast."""

BASE_IMAGE = "registry.access.redhat.com/ubi9/python-312:9.7"
"""Has git and Python 3.12, and lets any UID install packages. ``JUKEBOX_BASE_IMAGE`` replaces it."""


def requirements(*packages: str) -> list[str]:
    """The pinned requirements of packages, from requirements.txt: the one table of versions.

    Args:
        packages: Package names, with extras where wanted, e.g. ``"dvc[s3]"``.

    Returns:
        One requirement for each line of the lock that names one of them, e.g.
        ``numpy==2.4.6 ; python_full_version < "3.12"``.

    Raises:
        JukeboxError: If the lock does not name a package.
    """
    locked: dict[str, list[str]] = {}
    for line in (KIT / "requirements.txt").read_text().splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(.*?)(?: \\)?$", line):
            locked.setdefault(match[1], []).append(match[2].replace("'", '"'))
    found = []
    for package in packages:
        name = package.split("[")[0]
        if name not in locked:
            raise JukeboxError(
                f"requirements.txt does not name the package {name!r} that a step declares.",
                "Add it to pyproject.toml and lock again (docs/architecture.md says how).",
            )
        found += [f"{package}=={version}" for version in locked[name]]
    return found


def travelling(function: Callable[..., Any]) -> list[Callable[..., Any]]:
    """The functions of the library that a function calls, directly or not.

    Args:
        function: A step's function.

    Returns:
        The functions whose source must travel with it, callees first.

    Raises:
        JukeboxError: If one of them uses something of its module that is no function, and so cannot travel.
    """
    found: dict[str, Callable[..., Any]] = {}

    def visit(caller: Callable[..., Any]) -> None:
        codes = [caller.__code__]
        for code in codes:
            codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
            for instruction in dis.get_instructions(code):
                value = caller.__globals__.get(instruction.argval) if instruction.opname == "LOAD_GLOBAL" else None
                if value is None or instruction.argval in found or value is caller:
                    continue
                if not inspect.isfunction(value) or value.__name__ != instruction.argval:
                    raise JukeboxError(
                        f"{caller.__module__}.{caller.__name__} uses {instruction.argval!r} of its module, which "
                        "does not travel with it into a pipeline step.",
                        "Import it inside the function, or make it a function and call it by its own name.",
                    )
                visit(value)
                found[instruction.argval] = value

    visit(function)
    return list(found.values())


def step(*packages: str) -> Callable[[Callable[..., Any]], Any]:
    """Declare a pipeline step.

    The functions of the library that the step calls travel inside the compiled YAML: they import what they
    need in their bodies, because the step's container has no Jukebox.

    Args:
        packages: What the step installs in the cluster; the versions are those of requirements.txt.

    Returns:
        A decorator that turns a function into a KFP component.
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
            packages_to_install=requirements(*packages),
            pip_index_urls=[index] if index else None,
        )
        # KFP has additional_funcs for this, but not yet in 2.14; the result is the same, byte for byte.
        command = component.component_spec.implementation.container.command
        head = "from typing import *\n\n"
        sources = [textwrap.dedent(inspect.getsource(traveller)) for traveller in travelling(function)]
        command[-1] = command[-1].replace(head, head + "".join(f"{source}\n\n" for source in sources), 1)
        return component

    return decorate


def compile_pipeline(pipeline: Any, target: Path) -> Path:
    """Compile a pipeline; twice gives the same bytes.

    Args:
        pipeline: A function decorated with ``kfp.dsl.pipeline``.
        target: The YAML file to write.

    Returns:
        The target.
    """
    from kfp import compiler

    # Drivers of several KFP releases refuse fields that they do not know. These say nothing that secretName,
    # constant or componentInputParameter do not, so leaving them out lets one file serve all of them.
    redundant = {"secretAsEnv": ("secretNameParameter", "optional"), "pvcMount": ("pvcNameParameter",)}
    components = pipeline.pipeline_spec.components
    for platform in pipeline.platform_spec.platforms.values():
        name_volumes_inside(components, platform.deployment_spec.executors)
        name_git_server(pipeline.pipeline_spec.deployment_spec["executors"], platform.deployment_spec.executors)
        for executor in platform.deployment_spec.executors.values():
            for kind, names in redundant.items():
                if kind not in executor:
                    continue
                for entry in executor[kind]:
                    for name in set(names) & set(entry):
                        del entry[name]
    compiler.Compiler().compile(pipeline, str(target))
    target.write_text(readable(target.read_text()))
    return target


def name_git_server(containers: Any, executors: Any) -> None:
    """Give the git server that ``JUKEBOX_GIT_SERVER`` names to the steps that have the git password.

    Args:
        containers: The executors of the pipeline spec; changed in place.
        executors: Those of the platform spec.

    Raises:
        JukeboxError: If the variable holds no address.
    """
    named = os.environ.get("JUKEBOX_GIT_SERVER", "")
    if not named:
        return
    if not (server := server_of(named)):
        raise JukeboxError("JUKEBOX_GIT_SERVER is not an address.", "Set it to https://<host of the git server>.")
    for label, executor in executors.items():
        secrets = dict(executor).get("secretAsEnv", [])
        if any(secret["secretName"] == "git-auth" for secret in secrets):
            variables = containers[label]["container"].get_or_create_list("env")
            if not any(variable["name"] == "JUKEBOX_GIT_SERVER" for variable in variables):  # compiled before
                variables.append({"name": "JUKEBOX_GIT_SERVER", "value": server})


def name_volumes_inside(components: Any, executors: Any) -> None:
    """Name a volume's parameter as the condition or loop around the step does, which is where drivers look for it.

    KFP 2.14 names it as the pipeline does, and the step finds no volume.

    Args:
        components: Those of the pipeline spec.
        executors: Those of the platform spec; changed in place.
    """
    for group in components.values():
        for task in group.dag.tasks.values():
            label = components[task.component_ref.name].executor_label
            if label not in executors or "pvcMount" not in executors[label]:
                continue
            for mount in executors[label]["pvcMount"]:
                inside = f"pipelinechannel--{dict(mount).get('componentInputParameter')}"
                if inside in group.input_definitions.parameters:
                    mount["componentInputParameter"] = inside


class BlockDumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, so that a person can read the steps' source in the YAML."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Indent by one space: with two, a step's source stands ten columns in, and these are a tenth of the file."""
        super().__init__(*arguments, **options)
        self.best_indent = 1

    def represent_str(self, text: str) -> yaml.ScalarNode:
        """Write one text."""
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


BlockDumper.add_representer(str, BlockDumper.represent_str)


def readable(text: str) -> str:
    """Write a compiled pipeline's YAML again, readable and a third smaller: the same pipeline."""
    comments = [line for line in text.splitlines() if line.startswith("#")]
    documents = list(yaml.load_all(text, Loader))
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        command = executor["container"]["command"]
        command[-1] = summarised(command[-1])
    blocks = yaml.dump_all(documents, Dumper=BlockDumper, sort_keys=False, allow_unicode=True)
    return "\n".join([*comments, blocks])


def summarised(source: str) -> str:
    """Python source whose docstrings are cut to their first lines; the whole ones are in the library."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            first, last = node.body[0].lineno - 1, node.body[0].end_lineno or 0
            if last - first > 1:
                lines[first:last] = [lines[first].rstrip() + '"""\n', *[""] * (last - first - 1)]
    return "".join(lines)


def compile_file(source: str | Path) -> None:
    """Run a pipeline's file, which compiles it beside itself, with the library of its own checkout.

    Args:
        source: One of the pipeline files, in the kit, a clone or the checkout of a revision.

    Raises:
        JukeboxError: If the file does not run; the message holds the end of what it printed.
    """
    source = Path(source)
    checkout = source.resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    result = subprocess.run([sys.executable, str(source)], env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        tail = "\n".join((result.stderr or result.stdout).strip().splitlines()[-12:])
        raise JukeboxError(
            f"{source} does not compile:\n{tail}",
            "Mend the file (the last line says what), then run it again.",
        )


@dataclass(frozen=True)
class CompiledPipeline:
    """A compiled pipeline: the pipeline spec and the platform spec, as plain data.

    See https://www.kubeflow.org/docs/components/pipelines/user-guides/core-functions/compile-a-pipeline/
    """

    spec: dict[str, Any]
    platform: dict[str, Any]

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.spec["pipelineInfo"]["name"]

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """The pipeline's parameters: type, default value, whether optional."""
        return self.spec["root"].get("inputDefinitions", {}).get("parameters", {})

    @property
    def executors(self) -> dict[str, dict[str, Any]]:
        """The containers of the steps, by executor label."""
        return {label: spec["container"] for label, spec in self.spec["deploymentSpec"]["executors"].items()}

    def platform_of(self, executor: str) -> dict[str, Any]:
        """What the platform spec says of an executor: secrets, field paths, volumes."""
        kubernetes = self.platform.get("platforms", {}).get("kubernetes", {})
        return kubernetes.get("deploymentSpec", {}).get("executors", {}).get(executor, {})

    def steps(self) -> list[str]:
        """The steps in an order in which they can run; those inside a condition or a loop under their own names."""

        def visit(component: dict[str, Any]) -> Iterator[str]:
            waiting = dict(component["dag"]["tasks"])
            while waiting:
                ready = [n for n, t in waiting.items() if not set(t.get("dependentTasks", [])) & set(waiting)]
                for name in sorted(ready):
                    inner = self.spec["components"][waiting.pop(name)["componentRef"]["name"]]
                    if "dag" in inner:
                        yield from visit(inner)
                    else:
                        yield name

        return list(visit(self.spec["root"]))

    def text(self) -> str:
        """The YAML of a pipeline that was changed after it was read."""
        return yaml.safe_dump_all([self.spec, self.platform], sort_keys=False)

    def until(self, last: str) -> "CompiledPipeline":
        """The part of the pipeline that one step needs: the step itself and all that it waits for.

        Args:
            last: The name of a top-level step.

        Returns:
            The shortened pipeline.
        """
        tasks = self.spec["root"]["dag"]["tasks"]
        needed, waiting = set(), [last]
        while waiting:
            name = waiting.pop()
            needed.add(name)
            waiting += [task for task in tasks[name].get("dependentTasks", []) if task not in needed]
        dag = {**self.spec["root"]["dag"], "tasks": {name: tasks[name] for name in tasks if name in needed}}
        return CompiledPipeline({**self.spec, "root": {**self.spec["root"], "dag": dag}}, self.platform)

    def with_argument(self, step: str, parameter: str, value: str) -> "CompiledPipeline":
        """The same pipeline with another argument for a parameter of one top-level step.

        Args:
            step: The step's name.
            parameter: The step's parameter.
            value: The argument.

        Returns:
            The changed pipeline.
        """
        spec = copy.deepcopy(self.spec)
        inputs = spec["root"]["dag"]["tasks"][step].setdefault("inputs", {}).setdefault("parameters", {})
        inputs[parameter] = {"runtimeValue": {"constant": value}}
        return CompiledPipeline(spec, self.platform)


def read_pipeline(text: str) -> CompiledPipeline:
    """Read a compiled pipeline.

    Args:
        text: The YAML, one or two documents.

    Returns:
        The pipeline.

    Raises:
        JukeboxError: If it is not a compiled pipeline.
    """
    try:
        documents = list(yaml.load_all(text, Loader))
        pipeline = CompiledPipeline(documents[0], documents[1] if len(documents) > 1 else {})
        if not pipeline.name or not pipeline.executors:
            raise KeyError("pipelineInfo")
    except (yaml.YAMLError, KeyError, IndexError, TypeError) as error:
        raise JukeboxError(f"This is not a compiled pipeline: {error}", "Compile it with ./jukebox compile.") from error
    return pipeline
