"""Lineage for people: one model version as a tree, two of them side by side. Nothing is shortened."""

import textwrap
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

SECTIONS = {
    "data": "data",
    "rankings": "rankings",
    "code": "code",
    "metrics": "scores",
    "file": "ONNX file",
    "preparation": "data used",
    "parameters": "parameters",
    "packages": "packages",
    "run": "run",
    "other": "other",
}
"""The sections of lineage in the order of reading, and what people call them."""

MEASURES = {
    "log_loss": ("log-loss ↓", ".4f"),
    "top1": ("top-1 ↑", ".2%"),
    "top5": ("top-5 ↑", ".2%"),
    "ece": ("ECE ↓", ".4f"),
}
"""How the name of a metric ends, and how that is shown."""

PREDICTORS = {
    "": "this model",
    "prior": "prior: how often each country occurs",
    "memorised": "table of memorised songs",
    "previous": "previous version",
    "common": "this model, countries that both know",
    "forward": "forward in time: model",
    "forward_prior": "forward in time: prior",
    "forward_known": "forward in time, known songs: model",
    "forward_known_memorised": "forward in time, known songs: table",
}
"""How the name of a metric begins, and whose score it is."""

ON_TRAINING_SONGS = ("seen", "memorised_seen")
"""Scores that say what was learned by heart; the JSON has them."""

LEGEND = "on held-out songs; ↓ lower is better, ↑ higher is better"
FORWARD_LEGEND = "forward in time: trained on the days before the time cut, scored on those after it"
LABEL_WIDTH = 19


def in_words(value: Any) -> str:
    """A value of lineage as a person reads it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {in_words(item)}" for key, item in value.items()) or "none"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}"
    return "none" if value is None else str(value)


def registered_at(lineage: Mapping[str, Any]) -> str:
    """When a version was registered, and whether for production."""
    moment = datetime.fromisoformat(lineage["registered at"]).astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" + (", in production" if lineage["production"] else "")


def split_metrics(metrics: Mapping[str, Any]) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """Sort flat metrics into a table by predictor and measure, known predictors first; and what is not such a measure.

    A metric's name is ``<measure>`` for the model's own, ``<predictor>_<measure>`` for others.
    """
    table: dict[str, dict[str, float]] = {}
    others = {}
    for name, value in metrics.items():
        measure = next((measure for measure in MEASURES if f"_{name}".endswith(f"_{measure}")), None)
        if measure and isinstance(value, int | float):
            table.setdefault(name.removesuffix(measure).rstrip("_"), {})[measure] = value
        else:
            others[name] = value
    return {predictor: table[predictor] for predictor in [*PREDICTORS, *sorted(table)] if predictor in table}, others


def score_cells(scores: Mapping[str, float], sign: str = "") -> list[str]:
    """One predictor's scores, as the cells of a row."""
    return [
        format(scores[measure], sign + form) if measure in scores else "–" for measure, (_, form) in MEASURES.items()
    ]


def score_table(*labels: str) -> Table:
    """An empty table of scores: columns for labels, with their headings, then one for each measure."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="", pad_edge=False)
    for label in labels:
        table.add_column(label, overflow="fold")
    for heading, _ in MEASURES.values():
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def all_scores(scores: Mapping[str, Mapping[str, float]]) -> Group:
    """Every predictor's scores beneath each other, and what they are measured on."""
    table = score_table("")
    for predictor, values in scores.items():
        if predictor not in ON_TRAINING_SONGS:
            label = PREDICTORS.get(predictor, predictor.replace("_", " "))
            table.add_row(Text(label), *score_cells(values))
    legend = [LEGEND] + [FORWARD_LEGEND] * any(predictor.startswith("forward") for predictor in scores)
    return Group(*(Text(line, style="dim") for line in legend), table)


def in_lines(lineage: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Lineage in the order of reading: by section and field the value, or why there is none."""
    missing = lineage["missing"]
    lines: dict[str, dict[str, Any]] = {}
    for section in SECTIONS:
        lines[section] = {"": missing[section]} if section in missing else {}
        for field, value in (lineage[section] or {}).items():
            if value is not None or field != "object":
                lines[section][field] = missing.get(f"{section}.{field}", value)
    return lines


def lineage_tree(lineage: Mapping[str, Any]) -> Tree:
    """Lineage, what `trace` returns, as a tree for people; print it with rich, 80 columns or more.

    Scores on training songs are left to the JSON.
    """
    tree = Tree(Text(f"{lineage['model']} {lineage['version']}, registered {registered_at(lineage)}", style="bold"))
    reasons = list(lineage["missing"].values())
    for section, fields in in_lines(lineage).items():
        if not fields:
            continue
        branch = tree.add(Text(SECTIONS[section], style="cyan"))
        if section == "metrics":
            scores, fields = split_metrics(fields)
            if scores:
                branch.add(all_scores(scores))
        for field, value in fields.items():
            words = in_words(value)
            if field == "object" and len(words) > 60:
                words = "/\n".join(words.rsplit("/", 1))  # a hash is not broken in the middle
            label = (f"{field}: " if field else "", "dim")
            branch.add(Text.assemble(label, (words, "yellow" if value in reasons else ""), overflow="fold"))
    return tree


def compare(lineage_a: Mapping[str, Any], lineage_b: Mapping[str, Any]) -> Group:
    """Two model versions side by side, what `trace` returns for each; print it with rich, 100 columns or more.

    What differs is on two lines, after ``≠``, what is the same on one. First the bytes and the code, then the
    scores of both models and of the prior, then everything else.
    """
    names = [f"{lineage['model']} {lineage['version']}" for lineage in (lineage_a, lineage_b)]
    versions = [lineage["version"] for lineage in (lineage_a, lineage_b)]
    a, b = in_lines(lineage_a), in_lines(lineage_b)
    scores_a, a["metrics"] = split_metrics(a["metrics"])
    scores_b, b["metrics"] = split_metrics(b["metrics"])
    scores = compare_scores(scores_a, scores_b, versions)

    origin, rest = (Table.grid(padding=(0, 2, 0, 0)) for _ in range(2))
    for table in (origin, rest):
        table.add_column(width=1)
        table.add_column(width=LABEL_WIDTH)
        table.add_column(overflow="fold", max_width=20)
        table.add_column(overflow="fold")
    for section in ("data", "rankings", "code", "file"):
        for label, one, other in differing_first(a[section], b[section]):
            if label != "object":  # its hash says it already
                add_rows(origin, f"{SECTIONS[section]}: {label}", one, other, versions)
    add_rows(origin, "registered", registered_at(lineage_a), registered_at(lineage_b), versions)
    for section in ("metrics", "preparation", "parameters", "packages", "run", "other"):
        if "" in a[section] or "" in b[section]:  # one of them has none of it
            one, other = (lines[section].get("", lines[section]) for lines in (a, b))
            if section != "metrics" or (one and other):  # the table of scores has said it otherwise
                add_rows(rest, SECTIONS[section], one, other, versions)
            continue
        same = {}
        for label, one, other in differing_first(a[section], b[section]):
            if one == other:
                same[label] = one
            else:
                add_rows(rest, f"{SECTIONS[section]}: {label}", one, other, versions)
        if same:
            add_rows(rest, SECTIONS[section], same, same, versions)

    title = Text(f"{names[0]} and {names[1]}  (≠ differs, = is the same)", style="bold")
    return Group(title, "", origin, "", scores, "", rest) if scores.row_count else Group(title, "", origin, "", rest)


def differing_first(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """The fields of either section with both values, those that differ first."""
    for same in (False, True):
        for field in dict(a) | dict(b):
            if (a.get(field) == b.get(field)) is same:
                yield field, a.get(field), b.get(field)


def add_rows(table: Table, label: str, one: Any, other: Any, versions: list[str]) -> None:
    """Add one line for a value that is the same, or two for values that differ."""
    if one == other:
        table.add_row("=", Text(label, style="dim"), "", Text(in_words(one), style="dim"))
        return
    first, *more = textwrap.wrap(label, LABEL_WIDTH)
    words = [in_words(one), in_words(other)]
    if type(one) is type(other) is int:
        words[1] += f"  ({other - one:+,})"
    table.add_row("≠", Text(first), versions[0], Text(words[0]))
    table.add_row("", Text(" ".join(more)), versions[1], Text(words[1]))


def compare_scores(a: Mapping[str, Any], b: Mapping[str, Any], versions: list[str]) -> Table:
    """The scores of two versions and of the prior beneath each other, with the difference."""
    table = score_table("", "scores", "on its own held-out songs")
    for predictor, label in (("", "this model"), ("prior", "prior")):
        one, other = a.get(predictor, {}), b.get(predictor, {})
        if one == other:
            if one:
                table.add_row("=", label, "both", *score_cells(one))
            continue
        table.add_row("≠", label, versions[0], *score_cells(one))
        table.add_row("", "", versions[1], *score_cells(other))
        difference = {measure: other[measure] - one[measure] for measure in one if measure in other}
        table.add_row("", "", "difference", *score_cells(difference, "+z"))
    table.columns[1].width = LABEL_WIDTH
    return table
