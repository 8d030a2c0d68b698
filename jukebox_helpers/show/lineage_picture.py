"""Where a model version comes from, as a picture."""

from collections.abc import Mapping
from typing import Any

from jukebox_helpers.show.graphs import Diagram, colours, quoted
from jukebox_helpers.show.lineage import MEASURES, in_words, split_metrics


def lineage_picture(lineage: Mapping[str, Any]) -> Diagram:
    """Draw where a model version comes from, as `trace` tells it: bytes and code, run, model, scores.

    Hashes are shortened; `lineage_tree` shows them whole.
    """
    data, rankings, code, run = (lineage[section] for section in ("data", "rankings", "code", "run"))
    missing, name = lineage["missing"], f"{lineage['model']} {lineage['version']}"

    def value(place: str, known: Any, form: str = "{}") -> str:
        return form.format(known) if known is not None else missing.get(place, "not recorded")

    scores = split_metrics(lineage["metrics"])[0]
    score_lines = [
        f"{whose}{heading} {scores[predictor][measure]:{form}}"
        for predictor, whose in {"": "", "prior": "prior: "}.items()
        for measure, (heading, form) in MEASURES.items()
        if measure in scores.get(predictor, {}) and (measure == "log_loss" or not predictor)
    ]
    repository = str(code["repository"] or "").rstrip("/").split("/")
    boxes: dict[str, tuple[str, str, list[str]]] = {
        "code": ("code.revision", "revision",
                 [value("code.revision", code["revision"], "{:.10}"), "/".join(repository[-2:])]),
        "data": ("data.md5", "data version",
                 [value("data.md5", data["md5"], "{:.10}…"), value("data.rows", data["rows"], "{:,} songs")]),
        "rankings": ("rankings.sha256", "rankings", [value("rankings.sha256", rankings["sha256"], "{:.10}…"),
                     value("rankings.rows", rankings["rows"], "{:,} rows"), rankings["source"] or ""]),
        "run": ("run.pipeline run", "run", [value("run.pipeline run", run["pipeline run"])]),
        "model": ("file.sha256", "model version" + ", in production" * bool(lineage["production"]),
                  [name, "sha256 " + value("file.sha256", lineage["file"]["sha256"], "{:.10}…")]),
        "metrics": ("metrics", "scores", score_lines or [missing.get("metrics", in_words(lineage["metrics"]))]),
    }  # fmt: skip
    shapes = {"data": ("[(", ")]"), "rankings": ("[(", ")]")}
    styles = {"code": "code", "data": "data", "rankings": "data", "run": "pending", "model": "model"}
    lines = ["flowchart LR", f"  accTitle: Lineage of {name}"]
    for key, (place, title, words) in boxes.items():
        opening, closing = shapes.get(key, ("(", ")"))
        style = "missing" if place in missing else styles.get(key, "pending")
        lines.append(f"  {key}{opening}{quoted(title, *words)}{closing}:::{style}")
    lines += ["  code -.-> data", "  code --> run", "  data --> run", "  rankings --> run"]
    lines += ["  run --> model", "  model --> metrics"]
    width = max(len(title) for _, title, _ in boxes.values())
    text = [f"  {title:<{width}}  {', '.join(filter(None, words))}" for _, title, words in boxes.values()]
    return Diagram("\n".join([*lines, *colours()]), "\n".join([f"Lineage of {name}", *text]))
