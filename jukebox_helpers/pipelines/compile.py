"""Compiling a pipeline to YAML: the same bytes every time, for all supported servers."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.declare import name_git_server
from jukebox_helpers.pipelines.read import Loader


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
