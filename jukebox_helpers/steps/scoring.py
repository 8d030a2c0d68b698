"""Predictions and their scores: the measures that training, evaluation and benchmarks share.

Scores weigh every ranking row alike: a song that stayed for a month counts thirty times. A predictor gives the
probabilities of songs, songs x countries, for an array of their places.

All of it travels into pipeline steps (packages: numpy; onnxruntime to predict).
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jukebox_helpers.steps.pairs import pairs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import numpy


@dataclass(frozen=True)
class Judged:
    """What scores are made of.

    Attributes:
        country: The column of the country, for each pair that occurred.
        weight: Ranking rows of each pair.
        place: Place of the country among all, from 0, for each pair.
        loss: Log-loss in nats, for each pair.
        row: Place of the pair's song in what follows.
        confidence: For each song that occurred, in order, its highest probability.
        choice: The column of that.
    """

    country: "numpy.ndarray"
    weight: "numpy.ndarray"
    place: "numpy.ndarray"
    loss: "numpy.ndarray"
    row: "numpy.ndarray"
    confidence: "numpy.ndarray"
    choice: "numpy.ndarray"


def judge(
    predict: "Callable[[numpy.ndarray], numpy.ndarray]",
    song: "numpy.ndarray",
    country: "numpy.ndarray",
    weight: "numpy.ndarray",
) -> Judged:
    """Ask a predictor about songs, and keep only what scores are made of.

    In blocks: probabilities of songs x countries would be gigabytes where there are many of both.

    Args:
        predict: The predictor.
        song: Place of the song, for each pair that occurred.
        country: Column of the country, for each pair.
        weight: Ranking rows of each pair.
    """
    import numpy

    songs, row = numpy.unique(song, return_inverse=True)
    order = numpy.argsort(row, kind="stable")
    place, loss = numpy.empty(len(row), "int64"), numpy.empty(len(row))
    confidence, choice = numpy.empty(len(songs)), numpy.empty(len(songs), "int64")
    for first in range(0, len(songs), 1000):
        block = slice(first, first + 1000)
        probabilities = predict(songs[block])
        choice[block], confidence[block] = probabilities.argmax(axis=1), probabilities.max(axis=1)
        pairs = order[slice(*numpy.searchsorted(row, (first, first + 1000), sorter=order))]
        for some in numpy.split(pairs, range(1000, len(pairs), 1000)):
            found = probabilities[row[some] - first]
            given = found[numpy.arange(len(some)), country[some]]
            place[some] = (found > given[:, None]).sum(axis=1)
            loss[some] = -numpy.log(given.astype("float64").clip(1e-12))
    return Judged(country, weight, place, loss, row, confidence, choice)


def calibration(judged: Judged) -> list[dict[str, float]]:
    """How often the first choice was right, by how sure the predictor was: ten bins of equal weight.

    Returns:
        For each bin its share of the weight, its mean confidence and the share of its rows that were right.
    """
    import numpy

    confidence, share = judged.confidence, judged.weight / judged.weight.sum()
    mass = numpy.bincount(judged.row, share)
    hit = numpy.bincount(judged.row, share * (judged.choice[judged.row] == judged.country))
    order = numpy.argsort(confidence, kind="stable")
    bins = numpy.minimum((numpy.cumsum(mass[order]) * 10 - 1e-9).astype("int64"), 9)
    total, sure, right = (numpy.bincount(bins, values[order], 10) for values in (mass, confidence * mass, hit))
    return [
        {"share": float(t), "confidence": float(c / t), "right": float(r / t)}
        for t, c, r in zip(total, sure, right, strict=True)
        if t > 0
    ]


def score(judged: Judged) -> dict[str, float]:
    """Score what was predicted against what happened.

    Returns:
        log_loss (nats), top1 and top5 (shares of the rows whose country was among the first), ece (expected
        calibration error of the first choice, ten bins of equal weight; https://arxiv.org/abs/1909.10155).
    """
    share = judged.weight / judged.weight.sum()
    return {
        "log_loss": float((share * judged.loss).sum()),
        "top1": float(share[judged.place < 1].sum()),
        "top5": float(share[judged.place < 5].sum()),
        "ece": sum(one["share"] * abs(one["confidence"] - one["right"]) for one in calibration(judged)),
    }


def memorise(song: "numpy.ndarray", country: "numpy.ndarray", weight: "numpy.ndarray", countries: int) -> tuple:
    """The two things that a model has to beat: the prior, and a table that remembers.

    Args:
        song: Place of the song, for each training pair.
        country: Column of the country, for each training pair.
        weight: Ranking rows of each training pair.
        countries: How many there are.

    Returns:
        Two predictors. To the table, a song that it has not seen is one like all: the prior.
    """
    import numpy

    frequency = numpy.bincount(country, weight, countries) / weight.sum()
    order = numpy.argsort(song, kind="stable")
    song, country, weight = song[order], country[order], weight[order]

    def table(songs: "numpy.ndarray") -> "numpy.ndarray":
        row, pair = pairs_of(numpy.searchsorted(song, songs), numpy.searchsorted(song, songs, side="right"))
        seen = numpy.bincount(row * countries + country[pair], weight[pair], len(songs) * countries)
        # One row's worth of the prior, so that no country is impossible.
        found = seen.reshape(len(songs), countries) + frequency
        return found / found.sum(axis=1, keepdims=True)

    return lambda songs: numpy.broadcast_to(frequency, (len(songs), countries)), table


def open_onnx(onnx_path: str, inputs: "Collection[str]") -> tuple:
    """Open an exported model.

    Args:
        onnx_path: The model.
        inputs: The names of the inputs that it must have.

    Returns:
        The labels (countries in the order of the columns), and a function from equally long arrays by name of the
        inputs to the probabilities, songs x countries, float32.

    Raises:
        ValueError: If the file is not a model of this kit: not ONNX, other inputs, or no labels.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread: the sums are then made in one order, and the same input gives the same bits.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(onnx_path, options, providers=["CPUExecutionProvider"])
    # onnxruntime's own exceptions share no base class but this one.
    except Exception as error:
        why = str(error).splitlines()[0]
        raise ValueError(f"{onnx_path} cannot be read as an ONNX model ({why}). Next: export it again.") from None
    labels = json.loads(session.get_modelmeta().custom_metadata_map.get("labels", "[]"))
    wanted = {one.name for one in session.get_inputs()}
    if wanted != set(inputs) or not labels:
        raise ValueError(
            f"{onnx_path} is not a model of these songs: it takes {sorted(wanted)} and names {len(labels)} labels. "
            "Next: export it with export_onnx."
        )

    def predict(columns: "dict[str, numpy.ndarray]") -> "numpy.ndarray":
        columns = {name: values.astype("float32").reshape(-1, 1) for name, values in columns.items()}
        return session.run(["probabilities"], columns)[0]

    return labels, predict


def onnx_probabilities(onnx_path: str, inputs: "dict[str, numpy.ndarray]") -> tuple:
    """The labels of an exported model and its probabilities, songs x countries, float32; see `open_onnx`."""
    labels, predict = open_onnx(onnx_path, inputs)
    return labels, predict(inputs)
