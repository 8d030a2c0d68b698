"""Compiling a pipeline to YAML: the same bytes every time, for all supported servers."""

import ast
import io
import os
import re
import subprocess
import sys
import tempfile
import tokenize
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.declare import name_git_server
from jukebox_helpers.pipelines.definitions import names_bound
from jukebox_helpers.pipelines.read import Loader

STEP_LIMIT, PIPELINE_LIMIT = 40_000, 128_000
"""Bytes of source. Argo before 3.6 puts a step's whole template into one environment variable of at most 131,072
bytes; the annotations of a Workflow, which hold the pipeline, end at 262,144, and a fifth is not source."""


def compile_pipeline(pipeline: Any, target: Path) -> Path:
    """Compile a function decorated with ``kfp.dsl.pipeline`` to YAML, the same bytes each time; the target."""
    from kfp import compiler

    # Drivers of several KFP releases refuse fields that they do not know. These say nothing that secretName,
    # constant or componentInputParameter do not, so leaving them out lets one file serve all of them.
    redundant = {"secretAsEnv": {"secretNameParameter", "optional"}, "pvcMount": {"pvcNameParameter"}}
    components = pipeline.pipeline_spec.components
    for platform in pipeline.platform_spec.platforms.values():
        name_volumes_inside(components, platform.deployment_spec.executors)
        name_git_server(pipeline.pipeline_spec.deployment_spec["executors"], platform.deployment_spec.executors)
        for executor in platform.deployment_spec.executors.values():
            for kind in redundant.keys() & executor:
                for entry in executor[kind]:
                    for name in redundant[kind] & set(entry):
                        del entry[name]
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder, target.name)
        compiler.Compiler().compile(pipeline, str(compiled))
        target.write_text(readable(compiled.read_text(encoding="utf-8")), encoding="utf-8")
    return target


def name_volumes_inside(components: Any, executors: Any) -> None:
    """Name a volume's parameter as the condition or loop around the step does, which is where drivers look for it.

    KFP 2.14 names it as the pipeline does, and the step finds no volume. ``components`` are those of the pipeline spec,
    ``executors`` those of the platform spec, which are changed in place.
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
        super().__init__(*arguments, **options)
        self.best_indent = 1  # with two, a step's source is ten columns in, and these are a tenth of the file

    def represent_str(self, text: str) -> yaml.ScalarNode:
        """Write one text."""
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


BlockDumper.add_representer(str, BlockDumper.represent_str)


def readable(text: str) -> str:
    """Write the YAML of KFP's compiler again, readable and a third smaller: the same pipeline.

    A step or a pipeline that carries too much source is a JukeboxError.
    """
    comments = [line for line in text.splitlines() if line.startswith("#")]
    documents = list(yaml.load_all(text, Loader))
    sources = {}
    for label, executor in documents[0]["deploymentSpec"]["executors"].items():
        command = executor["container"]["command"]
        command[-1] = sources[label.removeprefix("exec-")] = compact(command[-1], executor["container"]["args"][-1])
    check_sizes(sources)
    blocks = yaml.dump_all(documents, Dumper=BlockDumper, sort_keys=False, allow_unicode=True)
    return "\n".join([*comments, blocks])


def without_annotations(source: str, step: str) -> str:
    """Python source without the annotations of arguments and results, but for the step's own, which KFP reads."""
    begins = [0, *accumulate(len(line) + 1 for line in source.encode().split(b"\n"))]
    text, tree, cuts = source.encode(), ast.parse(source), []

    def span(node: Any) -> tuple[int, int]:
        return begins[node.lineno - 1] + node.col_offset, begins[node.end_lineno - 1] + node.end_col_offset

    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or function.name == step:
            continue
        for one in ast.walk(function.args):
            if isinstance(one, ast.arg) and one.annotation:
                cuts.append((span(one)[0] + len(one.arg.encode()), span(one)[1]))
                one.annotation = None
        if function.returns:
            first, last = span(function.returns)
            cuts.append((len(text[: text.rindex(b"->", 0, first)].rstrip()), last))
            function.returns = None
    for first, last in sorted(cuts, reverse=True):
        text = text[:first] + text[last:]
    try:
        return text.decode() if ast.dump(ast.parse(text)) == ast.dump(tree) else source
    except SyntaxError:
        return source


def without_comments(source: str) -> str:
    """Python source without comments."""
    lines = source.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    return "\n".join(lines)


def joined(source: str, width: int = 400) -> str:
    """Python source with a line for each statement, as far as it fits into so many characters."""
    breaks, depth = set(), 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
        elif token.type == tokenize.NL and depth:
            breaks.add(token.start[0])
    lines: list[str] = []
    for number, line in enumerate(source.split("\n")):
        text = line.lstrip(" ")
        if number in breaks and len(lines[-1]) + len(text) < width:
            lines[-1] += ("" if lines[-1][-1:] in "([{" or text[:1] in ")]}" else " ") + text
        else:
            lines.append(line)
    return "\n".join(lines)


def compact(source: str, step: str = "") -> str:
    """Python source without what a step never needs; the library has it all.

    Docstrings, annotations (but for those of ``step``, which KFP reads), blank lines inside of definitions and comments
    go, a level is indented by one space, and a statement is one line where it fits. The words stay as they are written,
    so that a traceback can be followed. It is the same program; what cannot be written so is left as it is.
    """
    source = without_comments(without_annotations(source, step))
    tree, lines = ast.parse(source), source.split("\n")
    kept: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant | ast.JoinedStr) or node.end_lineno == node.lineno:
            continue
        if any('"""' in line for line in lines[node.lineno - 1 : node.end_lineno]):
            kept.update(range(node.lineno, node.end_lineno or 0))  # counted from 0: the lines after its first
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(node):
            first, last = node.body[0].lineno - 1, node.body[0].end_lineno or 0
            kept.difference_update(range(first, last))
            lines[first:last] = [""] * (last - first)
            if len(node.body) == 1:
                lines[first] = " " * node.body[0].col_offset + "pass"
            node.body = node.body[1:] or [ast.Pass()]
    written: list[str] = []
    for number, line in enumerate(lines):
        text = line.lstrip(" ")
        if number in kept:
            written.append(line)
        elif text:
            begins = text == line and text.startswith(("@", "def ", "class "))
            if begins and written and not written[-1].startswith("@"):
                written.append("")
            written.append(" " * ((len(line) - len(text)) // 4) + text)
    try:
        shorter = joined("\n".join([*written, ""]))
        return shorter if ast.dump(ast.parse(shorter)) == ast.dump(tree) else source
    except (SyntaxError, tokenize.TokenError):
        return source


def check_sizes(sources: dict[str, str]) -> None:
    """Refuse a step, or all of them together, above the limit; ``sources`` has each step's, as it is in the YAML."""
    for name, source in sources.items():
        if (size := len(source.encode())) > STEP_LIMIT:
            raise too_large(f"Step {name!r}", size, STEP_LIMIT, [source])
    if (size := sum(len(source.encode()) for source in sources.values())) > PIPELINE_LIMIT:
        raise too_large(f"The pipeline of {len(sources)} steps", size, PIPELINE_LIMIT, list(sources.values()))


def too_large(what: str, size: int, limit: int, sources: list[str]) -> JukeboxError:
    """The error for too many bytes of source, which names the five largest definitions of its parts."""
    sizes: dict[str, int] = {}
    for source in sources:
        for node in ast.parse(source).body:
            name = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else ""
            name = name or next(iter(names_bound(node)[0]), "")
            sizes[name] = sizes.get(name, 0) + len((ast.get_source_segment(source, node) or "").encode())
    largest = sorted((name for name in sizes if name), key=lambda name: (-sizes[name], name))[:5]
    return JukeboxError(
        f"{what} would carry {size:,} bytes of source, and {limit:,} is the most that every cluster can start. "
        f"Largest: {', '.join(f'{name} {sizes[name]:,}' for name in largest)}.",
        "Let it use less, or divide the step.",
    )


def compile_file(source: str | Path, library: Path | None = None) -> None:
    """Run a pipeline's file, in the kit, a clone or the checkout of a revision, which compiles it beside itself.

    ``library`` is the checkout whose library is used; its own where not given. If the file does not run, that is a
    JukeboxError, whose first line says where and why, and the others what it printed last.
    """
    source = Path(source).resolve()
    root = source.parent.parent
    environment = {**os.environ, "PYTHONPATH": str(library or root)}
    result = subprocess.run([sys.executable, str(source)], env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        # A revision's folder is gone when this is read: files are named as in the repository.
        lines = (result.stderr or result.stdout).strip().replace(f"{root}{os.sep}", "").splitlines()[-12:]
        why = lines[-1] if lines else f"exit code {result.returncode}"
        places = [found for line in lines if (found := re.match(r'  File "([^/.<].*)", line (\d+)', line))]
        where = f"{places[-1][1]}, line {places[-1][2]}: " if places else ""
        raise JukeboxError(
            "\n".join([f"{source.relative_to(root)} does not compile: {where}{why}", *lines]),
            "Correct the file, then run it again.",
        )
