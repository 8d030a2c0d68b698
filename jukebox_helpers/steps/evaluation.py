"""How good a model is on songs that it has not seen, and whether that is good enough to be registered.

Each score stands beside that of the prior (how often each country occurs), of a table that remembers each training
song's countries, and of the previous version, all on the same held-out songs.

Every function here travels into pipeline steps (packages: numpy, onnxruntime, pyarrow; matplotlib for the picture),
together with what they use of ``scoring`` and ``preparation``.
"""

import json
from typing import TYPE_CHECKING

from jukebox_helpers.steps.constants import FEATURES
from jukebox_helpers.steps.gate import DEFAULT_TOLERANCES, gate_reasons
from jukebox_helpers.steps.memory import give_memory_back
from jukebox_helpers.steps.pairs import Pairs, read_pairs
from jukebox_helpers.steps.scoring import Judged, calibration, judge, memorise, open_onnx, score

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy


def compare_with_previous(
    previous_onnx_path: str, data: Pairs, truth: tuple, predict: "Callable[[numpy.ndarray], numpy.ndarray]"
) -> dict:
    """Score the previous version and this one on the same songs and the countries that both know.

    Args:
        previous_onnx_path: The previous version.
        data: What ``read_pairs`` returns.
        truth: Arrays of equal length: song, country, rows.
        predict: This version, as ``scoring.judge`` takes it.

    Returns:
        previous and this (scores), countries (how many both know), loss (by country: this version's and the previous
        one's), or only note, a sentence, if the two cannot be compared.
    """
    import numpy

    try:
        labels, ask = open_onnx(previous_onnx_path, FEATURES)
    except ValueError as error:
        return {"note": f"Not compared with the previous version: {error}"}
    both = [label for label in data.labels.tolist() if label in labels]
    if len(both) < 2:
        return {"note": "Not compared with the previous version: they have fewer than two countries in common."}
    mine = numpy.flatnonzero(numpy.isin(data.labels, both))
    theirs = numpy.array([labels.index(label) for label in both])
    place = numpy.full(len(data.labels), -1)
    place[mine] = numpy.arange(len(mine))
    song, country, rows = truth
    kept = place[country] >= 0
    if not kept.any():
        return {"note": "Not compared with the previous version: no held-out song charted where both know."}
    song, country, rows = song[kept], place[country[kept]], rows[kept]

    def ours(songs: "numpy.ndarray") -> "numpy.ndarray":
        # Over the common countries only, both sum to one again.
        found = predict(songs)[:, mine]
        return found / found.sum(axis=1, keepdims=True).clip(1e-12)

    def before(songs: "numpy.ndarray") -> "numpy.ndarray":
        found = ask({name: values[songs] for name, values in data.inputs.items()})[:, theirs]
        return found / found.sum(axis=1, keepdims=True).clip(1e-12)

    now, then = judge(ours, song, country, rows), judge(before, song, country, rows)
    total, *lost = (numpy.bincount(country, rows * loss, len(both)) for loss in (1.0, now.loss, then.loss))
    loss = {
        label: [float(one[column] / total[column]) for one in lost]
        for column, label in enumerate(both)
        if total[column]
    }
    return {"this": score(now), "previous": score(then), "loss": loss, "countries": len(both)}


def country_scores(judged: Judged, prior: Judged, labels: list) -> dict:
    """Score each country's own rows.

    Args:
        judged: What ``scoring.judge`` returned for the model.
        prior: What it returned for the prior, for the same pairs.
        labels: The countries.

    Returns:
        By country: songs, rows, log_loss, top1, top5, prior_log_loss. Countries without held-out songs are absent.
    """
    import numpy

    country, rows, place = judged.country, judged.weight, judged.place
    songs = numpy.bincount(country, minlength=len(labels))
    total, lost, first, fifth, blind = (
        numpy.bincount(country, rows * values, len(labels))
        for values in (1.0, judged.loss, place < 1, place < 5, prior.loss)
    )
    return {
        label: {
            "songs": int(songs[column]),
            "rows": int(total[column]),
            "log_loss": round(float(lost[column] / total[column]), 6),
            "top1": round(float(first[column] / total[column]), 6),
            "top5": round(float(fifth[column] / total[column]), 6),
            "prior_log_loss": round(float(blind[column] / total[column]), 6),
        }
        for column, label in enumerate(labels)
        if total[column]
    }


def confusion_matrix(
    predict: "Callable[[numpy.ndarray], numpy.ndarray]", truth: tuple, labels: list, countries: int = 10
) -> dict:
    """Count the first choices among the countries with the most rows.

    Args:
        predict: The model, as ``scoring.judge`` takes it.
        truth: Arrays of equal length: song, country, rows.
        labels: The countries.
        countries: How many of them to show.

    Returns:
        countries, and matrix: ranking rows by true country (rows) and first choice (columns).
    """
    import numpy

    song, country, rows = truth
    largest = numpy.argsort(-numpy.bincount(country, rows, len(labels)), kind="stable")[:countries]
    place = numpy.full(len(labels), -1)
    place[largest] = numpy.arange(len(largest))
    kept = place[country] >= 0
    judged = judge(lambda songs: predict(songs)[:, largest], song[kept], place[country[kept]], rows[kept])
    cell = judged.country * len(largest) + judged.choice[judged.row]
    matrix = numpy.bincount(cell, judged.weight, len(largest) ** 2).astype("int64").reshape(-1, len(largest))
    return {"countries": [labels[place] for place in largest], "matrix": matrix.tolist()}


# Long: one report, put together from what the other functions say.
def evaluate(
    onnx_path: str,
    features_path: str,
    counts_path: str,
    previous_onnx_path: str | None,
    tolerances: dict | None,
    report_path: str,
    forward_path: str | None = None,
) -> dict:
    """Score a model on the held-out songs, and decide whether it may be registered.

    Args:
        onnx_path: The exported model.
        features_path: The prepared songs.
        counts_path: The prepared counts.
        previous_onnx_path: The version to compare with, if there is one. It is scored on the same songs; if it knows
            other countries, both are scored on those that both know; if it is no model of these songs, that is noted.
        tolerances: See ``DEFAULT_TOLERANCES``; what is not given is taken from there.
        report_path: JSON file to write.
        forward_path: The scores forward in time, of ``training.forward_scores``, to be put beside the others.

    Returns:
        The report: metrics (flat), per_country, gate ({"passed": bool, "reasons": [str]}), confusion, calibration,
        notes, tolerances. The metrics without prefix are the model's, on held-out songs; ``prior_``, ``memorised_``
        and ``previous_`` those of the others on the same songs; ``common_`` the model's over the countries that the
        previous version knows too; ``seen_`` and ``memorised_seen_`` are measured on the training songs: what a
        split by row would have reported.

    Raises:
        ValueError: If a tolerance is unknown or no number, or no held-out song charted where the model knows.
    """
    import numpy

    give_memory_back()
    limits = dict(DEFAULT_TOLERANCES)
    for name, value in (tolerances or {}).items():
        if name not in limits or isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(
                f"{name!r}: {value!r} is no tolerance. Next: give numbers for {sorted(limits)} (tolerances in "
                "default_parameters.json)."
            )
        limits[name] = float(value)

    labels, ask = open_onnx(onnx_path, FEATURES)
    data = read_pairs(features_path, counts_path, labels)

    def predict(songs: "numpy.ndarray") -> "numpy.ndarray":
        return ask({name: values[songs] for name, values in data.inputs.items()})

    held_out, weight = data.held_out, data.rows
    if not held_out.any() or held_out.all():
        raise ValueError(
            f"{counts_path} holds no song that is held out, or none to train on. Next: prepare more songs."
        )
    truth, seen = (tuple(part[rows] for part in (data.song, data.country, weight)) for rows in (held_out, ~held_out))
    prior, table = memorise(seen[0], seen[1], seen[2], len(labels))
    judged, blind = judge(predict, *truth), judge(prior, *truth)
    results = {
        "": score(judged),
        "prior_": score(blind),
        "memorised_": score(judge(table, *truth)),
        "seen_": score(judge(predict, *seen)),
        "memorised_seen_": score(judge(table, *seen)),
    }
    notes = []
    if data.unknown:
        notes.append(f"{data.unknown} ranking rows are of countries that the model does not know: not scored.")
    compared = compare_with_previous(previous_onnx_path, data, truth, predict) if previous_onnx_path else {}
    notes.append(compared.get("note", "" if compared else "There is no previous version to compare with."))
    per_country = country_scores(judged, blind, labels)
    if "loss" in compared:
        results["previous_"] = compared["previous"]
        if compared["countries"] < len(labels):
            results["common_"] = compared["this"]
            notes.append(f"Compared with the previous version over the {compared['countries']} countries both know.")
        for label, (_, before) in compared["loss"].items():
            per_country[label]["previous_log_loss"] = round(before, 6)
    metrics = {who + name: value for who, scores in results.items() for name, value in scores.items()}
    if forward_path:
        with open(forward_path, encoding="utf-8") as file:
            metrics |= json.load(file)
    reasons = gate_reasons(results, compared, limits)
    report = {
        "metrics": {name: round(float(value), 6) for name, value in metrics.items()},
        "per_country": per_country,
        "gate": {"passed": not reasons, "reasons": reasons},
        "confusion": confusion_matrix(predict, truth, labels),
        "calibration": [{name: round(value, 6) for name, value in one.items()} for one in calibration(judged)],
        "held-out songs": len(numpy.unique(truth[0])),
        "held-out rows": int(truth[2].sum()),
        "notes": [note for note in notes if note],
        "tolerances": limits,
    }
    with open(report_path, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1, sort_keys=True)
    return report
