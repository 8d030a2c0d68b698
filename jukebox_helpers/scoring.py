"""Predictions and their scores: the measures that training, evaluation and benchmarks share.

Scores weigh every ranking row alike: a song that stayed for a month counts thirty times.

Every function here travels into pipeline steps (packages: numpy; onnxruntime to predict).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy


def places_and_losses(
    probabilities: "numpy.ndarray", song: "numpy.ndarray", country: "numpy.ndarray"
) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """What each pair that occurred was given: its place among all countries, from 0, and its log-loss in nats.

    Args:
        probabilities: Of songs x countries.
        song: Row of ``probabilities`` for each pair.
        country: Column of ``probabilities`` for each pair.
    """
    import numpy

    given = probabilities[song, country].astype("float64")
    # In blocks: a row of probabilities for each of a million pairs would be gigabytes.
    blocks = [slice(first, first + 20_000) for first in range(0, len(song), 20_000)]
    place = numpy.concatenate([(probabilities[song[b]] > given[b, None]).sum(axis=1) for b in blocks])
    return place, -numpy.log(given.clip(1e-12))


def score(
    probabilities: "numpy.ndarray", song: "numpy.ndarray", country: "numpy.ndarray", weight: "numpy.ndarray"
) -> dict:
    """Score predictions against what happened.

    Args:
        probabilities: Of songs x countries.
        song: Row of ``probabilities`` for each pair that occurred.
        country: Column of ``probabilities`` for each pair.
        weight: Ranking rows of each pair.

    Returns:
        log_loss (nats), top1 and top5 (shares of the rows whose country was among the first), ece (expected
        calibration error of the first choice, ten bins of equal weight; https://arxiv.org/abs/1909.10155).
    """
    import numpy

    share = weight / weight.sum()
    place, loss = places_and_losses(probabilities, song, country)
    confidence = probabilities.max(axis=1)
    hit = numpy.bincount(song, share * (place == 0), len(probabilities))
    mass = numpy.bincount(song, share, len(probabilities))
    order = numpy.argsort(confidence, kind="stable")
    bins = numpy.minimum((numpy.cumsum(mass[order]) * 10 - 1e-9).astype("int64"), 9)
    gap = numpy.bincount(bins, (confidence * mass - hit)[order], 10)
    return {
        "log_loss": float((share * loss).sum()),
        "top1": float(share[place < 1].sum()),
        "top5": float(share[place < 5].sum()),
        "ece": float(numpy.abs(gap).sum()),
    }


def calibration(
    probabilities: "numpy.ndarray", song: "numpy.ndarray", country: "numpy.ndarray", weight: "numpy.ndarray"
) -> list:
    """How often the first choice was right, by how sure the model was: ten bins of equal weight.

    Args:
        probabilities: As in ``score``, and the other arguments too.
        song: Row for each pair.
        country: Column for each pair.
        weight: Ranking rows of each pair.

    Returns:
        For each bin its mean confidence and the share of rows that were right.
    """
    import numpy

    mass = numpy.bincount(song, weight, len(probabilities))
    hit = numpy.bincount(song, weight * (probabilities.argmax(axis=1)[song] == country), len(probabilities))
    confidence = probabilities.max(axis=1)
    order = numpy.argsort(confidence, kind="stable")
    bins = numpy.minimum((numpy.cumsum(mass[order]) / mass.sum() * 10 - 1e-9).astype("int64"), 9)
    total, sure, right = (numpy.bincount(bins, x[order], 10) for x in (mass, confidence * mass, hit))
    return [
        {"confidence": round(float(c), 6), "right": round(float(r), 6)}
        for c, r, t in zip(sure / total.clip(1e-12), right / total.clip(1e-12), total, strict=True)
        if t > 0
    ]


def memorise(song: "numpy.ndarray", country: "numpy.ndarray", weight: "numpy.ndarray", shape: tuple) -> tuple:
    """The two things that a model has to beat: the prior, and a table that remembers.

    Args:
        song: Row for each training pair.
        country: Column for each training pair.
        weight: Ranking rows of each training pair.
        shape: Number of songs and of countries.

    Returns:
        The prior (a row) and the table (songs x countries). A song that the table has not seen gets the prior.
    """
    import numpy

    prior = numpy.bincount(country, weight, shape[1]) / weight.sum()
    table = numpy.bincount(song * shape[1] + country, weight, shape[0] * shape[1]).reshape(shape)
    # One row's worth of the prior, so that no country is impossible.
    table += prior
    table /= table.sum(axis=1, keepdims=True)
    return prior, table


def onnx_probabilities(onnx_path: str, inputs: "dict[str, numpy.ndarray]") -> tuple:
    """Predict with an exported model.

    Args:
        onnx_path: The model.
        inputs: Equally long arrays by name of the model's inputs.

    Returns:
        The labels (countries in the order of the columns) and the probabilities, songs x countries, float32.

    Raises:
        ValueError: If the file is no model of this kit: not ONNX, other inputs, or no labels.
    """
    import json

    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread: the sums are then made in one order, and the same input gives the same bits.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(onnx_path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base class but this one.
        raise ValueError(
            f"{onnx_path} cannot be read as an ONNX model ({str(error).splitlines()[0]}). Next: export it again."
        ) from None
    labels = json.loads(session.get_modelmeta().custom_metadata_map.get("labels", "[]"))
    wanted = {one.name for one in session.get_inputs()}
    if wanted != set(inputs) or not labels:
        raise ValueError(
            f"{onnx_path} is not a model of these songs: it takes {sorted(wanted)} and names {len(labels)} labels. "
            "Next: export it with export_onnx."
        )
    columns = {name: values.astype("float32").reshape(-1, 1) for name, values in inputs.items()}
    songs = len(next(iter(columns.values())))
    blocks = [
        session.run(["probabilities"], {name: values[first : first + 20_000] for name, values in columns.items()})[0]
        for first in range(0, songs, 20_000)
    ]
    return labels, numpy.concatenate(blocks)
