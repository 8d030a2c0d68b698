"""Pipelines that others have published, on the laptop's pipeline server: each runs, or is refused in a sentence.

    git clone https://github.com/kubeflow/pipelines
    python -m benchmarks.public_pipelines pipelines/test_data/sdk_compiled_pipelines > docs/public-pipelines.md

Most were compiled by other versions of KFP, whose packages a step would install. Here they get this version's.
"""

import re
import sys
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from benchmarks.fresh_sandbox import fresh_sandbox
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.following import follow, run_from
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.pipelines.runs import RunFailed
from jukebox_helpers.pipelines.server import PipelineServer, connect

SECONDS = 60.0
"""How long a pipeline may take."""

KFP_PIN = re.compile(r"kfp==[\w.]+")

HEAD = """\
# Public pipelines

What the laptop's pipeline server does with the {number} compiled pipelines of Kubeflow Pipelines' own tests
(`test_data/sdk_compiled_pipelines`), made by `python -m benchmarks.public_pipelines FOLDER`. The pin of KFP itself in
each file was replaced by this kit's, {kfp}; no arguments were given. {counts}

| pipeline | outcome | in its own words |
|---|---|---|
"""


def outcome_of(server: PipelineServer, file: Path) -> tuple[str, str]:
    """Run a pipeline.

    Args:
        server: The pipeline server.
        file: The compiled YAML.

    Returns:
        ``runs``, ``refused``, ``fails`` or ``takes long``, and a sentence.
    """
    text = KFP_PIN.sub(f"kfp=={version('kfp')}", file.read_text())
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder, "pipeline.yaml")
        own.write_text(text)
        name = re.sub("[^a-z0-9-]", "-", str(file).lower())[-100:].strip("-")
        try:
            with server.asking():
                pipeline = server.client.upload_pipeline(str(own), pipeline_name=name)
                [made] = server.client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
                started = server.client.run_pipeline(
                    None, name, pipeline_id=pipeline.pipeline_id, version_id=made.pipeline_version_id
                )
        except JukeboxError as error:
            return "refused", error.what
    run = run_from(started, read_pipeline(text))
    try:
        follow(server, run, timeout=SECONDS)
    except RunFailed as error:
        return ("fails" if error.run.began else "refused"), error.what
    except JukeboxError:
        server.client.terminate_run(run.id)
        return "takes long", f"It was ended after {SECONDS:.0f} s."
    return "runs", ""


def main() -> int:
    """Write the table of a folder's pipelines."""
    folder, console = Path(sys.argv[1]), Console(stderr=True)
    files = sorted(folder.rglob("*.yaml"))
    rows = []
    with tempfile.TemporaryDirectory() as scratch, fresh_sandbox(Path(scratch)) as settings:
        server = connect(settings)
        for file in files:
            outcome, said = outcome_of(server, file)
            console.print(f"{file.name}: {outcome}. {said}", markup=False, highlight=False)
            words = re.sub("^The pipeline server of .* answers [0-9]+: ", "", " ".join(said.split()))
            words = words.replace("|", "\\|")
            rows.append((file.relative_to(folder).with_suffix(""), outcome, words[:200]))
    counted = Counter(outcome for _, outcome, _ in rows)
    counts = ", ".join(f"{number} {outcome}" for outcome, number in counted.most_common())
    print(HEAD.format(number=len(rows), kfp=version("kfp"), counts=f"Of all: {counts}."), end="")
    for name, outcome, words in rows:
        print(f"| `{name}` | {outcome} | {words} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
