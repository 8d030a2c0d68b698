"""How good a model is on songs that it has not seen, and whether that is good enough to be registered.

Each score is beside that of the prior (how often each country occurs), of a table that remembers each training
song's countries, and of the previous version, all on the same held-out songs.

All of it travels into pipeline steps (packages: duckdb, numpy, onnxruntime). A predictor is one of `scoring`; a truth
is three arrays of equal length: song, country, rows.
"""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from jukebox_helpers.steps.constants import FEATURES
from jukebox_helpers.steps.gate import Comparison, complete_tolerances, gate_reasons
from jukebox_helpers.steps.memory import give_memory_back
from jukebox_helpers.steps.pairs import Pairs, read_pairs
from jukebox_helpers.steps.scoring import Judged, calibration, judge, memorise, open_onnx, score

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy

    Predictor = Callable[[numpy.ndarray], numpy.ndarray]


class Incomparable(Exception):
    """Why a version cannot be compared with the previous one."""


def compare_with_previous(previous_onnx_path: str, data: Pairs, truth: tuple, predict: "Predictor") -> Comparison:
    """Score the previous version and this one on the same songs and the countries that both know.

    Args:
        previous_onnx_path: The previous version.
        data: What ``read_pairs`` returns.
        truth: What happened.
        predict: This version.

    Raises:
        Incomparable: With the reason.
    """
    import numpy

    try:
        labels, ask = open_onnx(previous_onnx_path, FEATURES)
    except ValueError as error:
        raise Incomparable(str(error)) from None
    both = [label for label in data.labels.tolist() if label in labels]
    if len(both) < 2:
        raise Incomparable("they have fewer than two countries in common.")
    mine = numpy.flatnonzero(numpy.isin(data.labels, both))
    theirs = numpy.array([labels.index(label) for label in both])
    place = numpy.full(len(data.labels), -1)
    place[mine] = numpy.arange(len(mine))
    song, country, rows = truth
    kept = place[country] >= 0
    if not kept.any():
        raise Incomparable("no held-out song charted where both know.")
    song, country, rows = song[kept], place[country[kept]], rows[kept]

    def among(found: "numpy.ndarray") -> "numpy.ndarray":
        # Over the common countries only, both sum to one again.
        return found / found.sum(axis=1, keepdims=True).clip(1e-12)

    def before(songs: "numpy.ndarray") -> "numpy.ndarray":
        return among(ask({name: values[songs] for name, values in data.inputs.items()})[:, theirs])

    now = judge(lambda songs: among(predict(songs)[:, mine]), song, country, rows)
    then = judge(before, song, country, rows)
    total, *lost = (numpy.bincount(country, rows * loss, len(both)) for loss in (1.0, now.loss, then.loss))
    mean = [(one / total.clip(1e-12)).tolist() for one in lost]
    loss = {label: (mean[0][at], mean[1][at]) for at, label in enumerate(both) if total[at]}
    return Comparison(score(now), score(then), loss, len(both))


def country_scores(judged: Judged, prior: Judged, labels: list) -> dict:
    """Score each country's own rows.

    Args:
        judged: What the model said.
        prior: What the prior said of the same songs.
        labels: The countries.

    Returns:
        By country: songs, rows, log_loss, top1, top5, prior_log_loss. Countries without held-out songs are absent.
    """
    import numpy

    songs = numpy.bincount(judged.country, minlength=len(labels))
    measures = {
        "log_loss": judged.loss,
        "top1": judged.place < 1,
        "top5": judged.place < 5,
        "prior_log_loss": prior.loss,
    }
    sums = {name: numpy.bincount(judged.country, judged.weight * one, len(labels)) for name, one in measures.items()}
    rows = numpy.bincount(judged.country, judged.weight, len(labels))
    return {
        label: {"songs": int(songs[at]), "rows": int(rows[at])}
        | {name: round(float(one[at] / rows[at]), 6) for name, one in sums.items()}
        for at, label in enumerate(labels)
        if rows[at]
    }


def confusion_matrix(predict: "Predictor", truth: tuple, labels: list, countries: int = 10) -> dict:
    """Count the first choices among the countries with the most rows.

    Args:
        predict: The model.
        truth: What happened.
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
            other countries, both are scored on those that both know. If it is not a model of these, that is noted.
        tolerances: By name, see ``gate.Tolerances``.
        report_path: JSON file to write.
        forward_path: The scores forward in time, of ``model.forward_scores``, to be put beside the others.

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
    limits = complete_tolerances(tolerances)
    labels, ask = open_onnx(onnx_path, FEATURES)
    data = read_pairs(features_path, counts_path, labels)

    def predict(songs: "numpy.ndarray") -> "numpy.ndarray":
        return ask({name: values[songs] for name, values in data.inputs.items()})

    held_out = data.held_out
    if not held_out.any() or held_out.all():
        raise ValueError(
            f"{counts_path} holds no song that is held out, or none to train on. Next: prepare more songs."
        )
    truth, seen = (tuple(one[rows] for one in (data.song, data.country, data.rows)) for rows in (held_out, ~held_out))
    prior, table = memorise(seen[0], seen[1], seen[2], len(labels))
    judged, blind = judge(predict, *truth), judge(prior, *truth)
    results = {
        "": score(judged),
        "prior_": score(blind),
        "memorised_": score(judge(table, *truth)),
        "seen_": score(judge(predict, *seen)),
        "memorised_seen_": score(judge(table, *seen)),
    }
    notes: list[str] = []
    compared, why = None, "There is no previous version to compare with."
    if data.unknown:
        notes.append(f"{data.unknown} ranking rows are of countries that the model does not know: not scored.")
    if previous_onnx_path:
        try:
            compared = compare_with_previous(previous_onnx_path, data, truth, predict)
        except Incomparable as error:
            why = f"Not compared with the previous version: {error}"
    per_country = country_scores(judged, blind, labels)
    if not compared:
        notes.append(why)
    else:
        results["previous_"] = compared.previous
        if compared.countries < len(labels):
            results["common_"] = compared.this
            notes.append(f"Compared with the previous version over the {compared.countries} countries both know.")
        for label, (_, before) in compared.loss.items():
            per_country[label]["previous_log_loss"] = round(before, 6)
    metrics = {who + name: value for who, scores in results.items() for name, value in scores.items()}
    if forward_path:
        with open(forward_path, encoding="utf-8") as file:
            metrics |= json.load(file)
    reasons = gate_reasons(results[""], results["prior_"], compared, limits)
    report = {
        "metrics": {name: round(float(value), 6) for name, value in metrics.items()},
        "per_country": per_country,
        "gate": {"passed": not reasons, "reasons": reasons},
        "confusion": confusion_matrix(predict, truth, labels),
        "calibration": [{name: round(value, 6) for name, value in one.items()} for one in calibration(judged)],
        "held-out songs": len(numpy.unique(truth[0])),
        "held-out rows": int(truth[2].sum()),
        "notes": notes,
        "tolerances": asdict(limits),
    }
    with open(report_path, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1, sort_keys=True)
    return report
