"""The way that Jukebox replaces, to compare with: a row for every ranking, CSV between steps, pickles beside the model.

Each step reads what the step before it wrote into the same folder, as pipeline steps do.
"""

import json
import pickle
import time
from pathlib import Path
from typing import TYPE_CHECKING

from jukebox_helpers.steps.constants import FEATURES

if TYPE_CHECKING:
    import numpy


def fetch(songs: str, rankings: str, folder: str) -> None:
    """Write the two source tables as CSV."""
    import pandas

    pandas.read_parquet(songs).to_csv(Path(folder, "songs.csv"), index=False)
    pandas.read_parquet(rankings).to_csv(Path(folder, "rankings.csv"), index=False)


def merge(folder: str) -> None:
    """Give every ranking row the features of its song."""
    import pandas

    # The code of Namibia is NA, which pandas would take for a missing value.
    rankings = pandas.read_csv(Path(folder, "rankings.csv"), keep_default_na=False, na_values={"country": [""]})
    songs = pandas.read_csv(Path(folder, "songs.csv"))
    merged = rankings.dropna(subset=["country"]).merge(songs[["spotify_id", *FEATURES]], on="spotify_id")
    merged.to_csv(Path(folder, "merged.csv"), index=False)


def split(folder: str) -> float:
    """One-hot labels, a stratified split by row, a fitted scaler; arrays and scaler as pickles.

    Returns:
        The seconds of the split alone.
    """
    import pandas
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    rows = pandas.read_csv(Path(folder, "merged.csv"), keep_default_na=False)
    inputs = rows[FEATURES].astype(float)
    labels = pandas.get_dummies(rows["country"])
    started = time.perf_counter()
    train, test, train_labels, test_labels = train_test_split(
        inputs, labels, test_size=0.2, stratify=labels, random_state=0
    )
    seconds = time.perf_counter() - started
    scaler = StandardScaler().fit(train.to_numpy())
    arrays = (scaler.transform(train.to_numpy()), train_labels, scaler.transform(test.to_numpy()), test_labels)
    for name, thing in {"scaler": scaler, "labels": list(labels.columns), "arrays": arrays}.items():
        with Path(folder, f"{name}.pickle").open("wb") as file:
            pickle.dump(thing, file)
    return round(seconds, 3)


def prepare(songs: str, rankings: str, folder: str) -> dict:
    """Fetch and prepare, row by row.

    Returns:
        The seconds of each part.
    """
    seconds = {}
    for name, part in {"fetch": lambda: fetch(songs, rankings, folder), "merge": lambda: merge(folder)}.items():
        started = time.perf_counter()
        part()
        seconds[name] = round(time.perf_counter() - started, 3)
    started = time.perf_counter()
    seconds["the stratified split alone"] = split(folder)
    seconds["labels, split and pickles"] = round(time.perf_counter() - started, 3)
    return seconds


def fit(folder: str, hyperparameters: dict) -> float:
    """Fit the same family of network on every training row.

    Args:
        folder: Where the pickles are; the model goes beside them.
        hyperparameters: What ``training.check_hyperparameters`` returns.

    Returns:
        The last loss.
    """
    import warnings

    import numpy
    import threadpoolctl
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    inputs, labels, _, _ = pickle.loads(Path(folder, "arrays.pickle").read_bytes())
    # About as many rows as Jukebox has pairs in a batch of songs.
    batch = min(1000, len(inputs))
    model = MLPClassifier(
        hidden_layer_sizes=(hyperparameters["hidden_units"],),
        activation="tanh",
        alpha=hyperparameters["regularisation"] * batch,
        batch_size=batch,
        learning_rate_init=hyperparameters["learning_rate"],
        max_iter=hyperparameters["epochs"],
        n_iter_no_change=hyperparameters["epochs"] + 1,
        random_state=hyperparameters["seed"],
    )
    with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(inputs.astype("float32"), numpy.argmax(labels.to_numpy(), axis=1))
    with Path(folder, "model.pickle").open("wb") as file:
        pickle.dump(model, file)
    return float(model.loss_)


def export(folder: str) -> float:
    """Write the network, without its scaler, as ONNX, and check it on the test rows.

    Returns:
        The largest difference of a probability.
    """
    import numpy
    import onnxruntime
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType

    _, _, inputs, _ = pickle.loads(Path(folder, "arrays.pickle").read_bytes())
    model = pickle.loads(Path(folder, "model.pickle").read_bytes())
    exported = skl2onnx.convert_sklearn(
        model,
        initial_types=[("inputs", FloatTensorType([None, len(FEATURES)]))],
        options={id(model): {"zipmap": False}},
        target_opset={"": 17, "ai.onnx.ml": 3},
    )
    path = Path(folder, "model.onnx")
    path.write_bytes(exported.SerializeToString())
    inputs = inputs.astype("float32")
    found = onnxruntime.InferenceSession(str(path)).run(["probabilities"], {"inputs": inputs})[0]
    return float(numpy.abs(found - model.predict_proba(inputs)).max())


def build(songs: str, rankings: str, epochs: int, folder: str) -> dict:
    """From data to a checked ONNX file.

    Args:
        songs: The songs, Parquet.
        rankings: The rankings, Parquet.
        epochs: Passes over the training rows.
        folder: Where everything goes.

    Returns:
        The seconds of each part, and the largest difference between ONNX and scikit-learn.
    """
    from jukebox_helpers.steps.model import check_hyperparameters

    seconds = prepare(songs, rankings, folder)
    started = time.perf_counter()
    fit(folder, check_hyperparameters({"epochs": epochs}))
    fitted = time.perf_counter()
    difference = export(folder)
    seconds |= {"fit": round(fitted - started, 3), "export and check": round(time.perf_counter() - fitted, 3)}
    Path(folder, "seconds.json").write_text(json.dumps(seconds))
    return {"seconds": seconds, "largest difference": difference}


def probabilities(folder: str, inputs: "dict[str, numpy.ndarray]") -> tuple:
    """Predict with the pieces that a user of this way has to put together again.

    Args:
        folder: Where ``build`` put them.
        inputs: Arrays by feature.

    Returns:
        The labels and the probabilities, songs x countries.
    """
    import numpy
    import onnxruntime

    scaler = pickle.loads(Path(folder, "scaler.pickle").read_bytes())
    labels = pickle.loads(Path(folder, "labels.pickle").read_bytes())
    matrix = numpy.stack([inputs[name] for name in FEATURES], axis=1).astype(float)
    session = onnxruntime.InferenceSession(str(Path(folder, "model.onnx")))
    found = session.run(["probabilities"], {"inputs": scaler.transform(matrix).astype("float32")})[0]
    return labels, found.astype(float)
