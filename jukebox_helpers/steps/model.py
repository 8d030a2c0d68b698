"""From prepared counts to a fitted pipeline.

All of it travels into pipeline steps (packages: duckdb, numpy, pandas, scikit-learn).
"""

import json
from typing import TYPE_CHECKING

from jukebox_helpers.steps.constants import FEATURES
from jukebox_helpers.steps.memory import give_memory_back
from jukebox_helpers.steps.network import teach
from jukebox_helpers.steps.pairs import Pairs, read_pairs
from jukebox_helpers.steps.scoring import judge, memorise, score

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy
    from sklearn.pipeline import Pipeline


PACKAGES = ("duckdb", "joblib", "numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", "scipy", "skl2onnx")
"""What makes a model: its record holds their versions."""

HYPERPARAMETERS = {
    "epochs": (20, 1, 10_000),
    "hidden_units": (64, 1, 4096),
    "learning_rate": (0.003, 1e-6, 1.0),
    # The pull of the weights to zero, against a loss that is a mean: so it means the same at every size of data.
    "regularisation": (0.002, 0.0, 10.0),
    "batch_size": (400, 1, 1_000_000),
    "seed": (0, 0, 4_294_967_295),
}
"""Default, least and greatest value of each; those with a whole default are whole numbers."""


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that make a model."""
    import importlib.metadata
    import platform

    known = {one.name.lower(): one.version for one in importlib.metadata.distributions() if one.name}
    return {"python": platform.python_version()} | {name: known[name] for name in PACKAGES if name in known}


def check_hyperparameters(given: dict) -> dict:
    """Complete hyperparameters with defaults and refuse what makes no sense, with a ValueError.

    Args:
        given: By name. Whole numbers may come as floats, as they do from a pipeline's parameters.

    Returns:
        All hyperparameters, in the types that the model takes.
    """
    if unknown := sorted(set(given) - set(HYPERPARAMETERS)):
        raise ValueError(
            f"Unknown hyperparameter{'s'[: len(unknown) > 1]} {', '.join(map(repr, unknown))}. "
            f"Next: use only {', '.join(HYPERPARAMETERS)} (hyperparameters in default_parameters.json)."
        )
    complete = {}
    for name, (default, low, high) in HYPERPARAMETERS.items():
        value = given.get(name, default)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        whole = isinstance(default, int)
        if not number or not low <= value <= high or (whole and value != int(value)):
            raise ValueError(
                f"Hyperparameter {name!r} is {value!r}. Next: give a {'whole ' * whole}number from {low} to {high}."
            )
        complete[name] = type(default)(value)
    return complete


def fit(data: Pairs, weight: "numpy.ndarray", hyperparameters: dict) -> "Pipeline":
    """Fit one dense network on the training songs.

    Args:
        data: What ``pairs.read_pairs`` returns.
        weight: Ranking rows of each pair; pairs without rows are left out.
        hyperparameters: What ``check_hyperparameters`` returns.

    Returns:
        A scikit-learn Pipeline from 13 named inputs to the probability of each country.

    Raises:
        ValueError: If the training songs charted in fewer than two countries.
    """
    import numpy
    import pandas
    import threadpoolctl
    from sklearn.compose import ColumnTransformer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    used = ~data.held_out & (weight > 0)
    song, country = data.song[used], data.country[used]
    first = numpy.flatnonzero(numpy.diff(song, prepend=-1))
    songs = song[first]
    known = numpy.bincount(country, minlength=len(data.labels)) > 0
    country, labels = (known.cumsum() - 1)[country], data.labels[known].astype(object)
    if len(labels) < 2:
        raise ValueError(
            f"The training songs charted in {len(labels)} countries, and a choice needs two. "
            "Next: give rankings of more countries."
        )
    batch = min(hyperparameters["batch_size"], len(songs))
    network = MLPClassifier(
        hidden_layer_sizes=(hyperparameters["hidden_units"],),
        activation="tanh",
        # scikit-learn divides the penalty by the length of a batch.
        alpha=hyperparameters["regularisation"] * batch,
        batch_size=batch,
        learning_rate_init=hyperparameters["learning_rate"],
        max_iter=hyperparameters["epochs"],
        random_state=hyperparameters["seed"],
    )
    inputs = numpy.stack([data.inputs[name][songs] for name in FEATURES], axis=1)
    names = pandas.DataFrame(inputs[:1], columns=FEATURES)
    pick, scale = ColumnTransformer([("all", "passthrough", FEATURES)]).fit(names), StandardScaler()
    blocks = [slice(start, start + 10_000) for start in range(0, len(songs), 10_000)]
    # One thread: sums are then made in one order, and a second run gives the same bits.
    with threadpoolctl.threadpool_limits(1):
        for block in blocks:
            scale.partial_fit(inputs[block])
        for block in blocks:
            inputs[block] = scale.transform(inputs[block])
        # scikit-learn draws the first weights, and makes one step.
        network.partial_fit(inputs[:batch], labels[country[first[:batch]]], classes=labels)
        # Its optimizer's memory is three times the model, and of no use after it.
        del network._optimizer
        teach(network, inputs, first, country, weight[used], hyperparameters)
    return Pipeline([("pick", pick), ("scale", scale), ("network", network)])


def predictor(model: "Pipeline", data: Pairs) -> "Callable[[numpy.ndarray], numpy.ndarray]":
    """A fitted pipeline as a predictor of `scoring`."""
    import pandas

    return lambda songs: model.predict_proba(pandas.DataFrame({name: data.inputs[name][songs] for name in FEATURES}))


def train(features_path: str, counts_path: str, hyperparameters: dict, model_path: str) -> dict:
    """Train on the training songs and save the fitted pipeline.

    Args:
        features_path: The prepared songs.
        counts_path: The prepared counts.
        hyperparameters: See ``check_hyperparameters``.
        model_path: The joblib file to write.

    Returns:
        hyperparameters (all of them), countries, songs, pairs, loss (of the last epoch, with the penalty).

    Raises:
        ValueError: If a hyperparameter makes no sense.
    """
    import joblib

    give_memory_back()
    import numpy

    complete = check_hyperparameters(hyperparameters)
    data = read_pairs(features_path, counts_path)
    model = fit(data, data.rows, complete)
    joblib.dump(model, model_path)
    trained = ~data.held_out
    return {
        "hyperparameters": complete,
        "countries": len(model.classes_),
        "songs": len(numpy.unique(data.song[trained])),
        "pairs": int(trained.sum()),
        "loss": round(float(model.named_steps["network"].loss_), 6),
    }


def forward_scores(features_path: str, counts_path: str, hyperparameters: dict, scores_path: str) -> dict:
    """Train a second model on the past only, and score it on the future: a rehearsal of next month.

    Args:
        features_path: The prepared songs.
        counts_path: The prepared counts, with a time cut.
        hyperparameters: As for ``train``.
        scores_path: JSON file to write: what is returned.

    Returns:
        Flat scores, on what happened after the cut: ``forward_*`` and ``forward_prior_*`` on held-out songs;
        ``forward_known_*`` and ``forward_known_memorised_*`` on training songs that had charted before it, where
        remembering is hard to beat. Empty if there is no future, or nothing to score on.

    Raises:
        ValueError: If a hyperparameter makes no sense.
    """
    give_memory_back()
    import numpy

    complete = check_hyperparameters(hyperparameters)
    data = read_pairs(features_path, counts_path)
    song, past, future, test = data.song, data.past, data.future, data.held_out
    learned = ~test & (past > 0)
    # Countries that began to chart after the cut cannot be predicted from before it.
    began = numpy.unique(data.country[learned])
    later = (future > 0) & numpy.isin(data.country, began)
    scores: dict = {}
    if len(began) > 1 and (later & test).any():
        predict = predictor(fit(data, past, complete), data)
        country = numpy.searchsorted(began, data.country)
        prior, table = memorise(song[learned], country[learned], past[learned], len(began))
        known = later & numpy.isin(song, song[learned])
        for name, guess, rows in (
            ("forward_", predict, later & test),
            ("forward_prior_", prior, later & test),
            ("forward_known_", predict, known),
            ("forward_known_memorised_", table, known),
        ):
            if rows.any():
                result = score(judge(guess, song[rows], country[rows], future[rows]))
                scores |= {name + metric: round(value, 6) for metric, value in result.items()}
    with open(scores_path, "w", encoding="utf-8") as file:
        json.dump(scores, file, indent=1, sort_keys=True)
    return scores
