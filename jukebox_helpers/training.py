"""From prepared counts to a fitted pipeline, and from there to one ONNX file that holds all of it.

Every function here travels into pipeline steps (packages: numpy, pandas, pyarrow, scikit-learn; skl2onnx and
onnxruntime to export and check), together with what they use of ``scoring`` and ``preparation``.
"""

from typing import TYPE_CHECKING

from jukebox_helpers.preparation import read_pairs
from jukebox_helpers.scoring import memorise, onnx_probabilities, score
from jukebox_helpers.song_schemas import features

if TYPE_CHECKING:
    import numpy
    from sklearn.pipeline import Pipeline


def versions() -> dict:
    """The versions of Python and of the packages that make a model."""
    import importlib.metadata
    import platform

    packages = ("joblib", "numpy", "onnx", "onnxruntime", "pandas", "pyarrow", "scikit-learn", "scipy", "skl2onnx")
    known = {one.name.lower(): one.version for one in importlib.metadata.distributions() if one.name}
    return {"python": platform.python_version()} | {name: known[name] for name in packages if name in known}


def check_hyperparameters(given: dict) -> dict:
    """Complete hyperparameters with defaults and refuse what makes no sense.

    Args:
        given: By name. Whole numbers may come as floats, as they do from a pipeline's parameters.

    Returns:
        All hyperparameters, in the types that the model takes.

    Raises:
        ValueError: If one is unknown or out of range.
    """
    known = {
        "epochs": (20, 1, 10_000),
        "hidden_units": (64, 1, 4096),
        "learning_rate": (0.003, 1e-6, 1.0),
        # The pull of the weights to zero, against a loss that is a mean: so it means the same at every size of data.
        "regularisation": (0.002, 0.0, 10.0),
        "batch_size": (1000, 1, 1_000_000),
        "seed": (0, 0, 2**32 - 1),
    }
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(
            f"Unknown hyperparameter{'s'[: len(unknown) > 1]} {', '.join(map(repr, unknown))}. "
            f"Next: use only {', '.join(known)} (hyperparameters in default_parameters.json)."
        )
    complete = {}
    for name, (default, low, high) in known.items():
        value = given.get(name, default)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        whole = isinstance(default, int)
        if not number or not low <= value <= high or (whole and value != int(value)):
            raise ValueError(
                f"Hyperparameter {name!r} is {value!r}. Next: give a {'whole ' * whole}number from {low} to {high}."
            )
        complete[name] = type(default)(value)
    return complete


def fit(data: dict, weight: "numpy.ndarray", hyperparameters: dict) -> "Pipeline":
    """Fit one dense network on the training songs.

    Args:
        data: What ``preparation.read_pairs`` returns.
        weight: Ranking rows of each pair; pairs without rows are left out.
        hyperparameters: What ``check_hyperparameters`` returns.

    Returns:
        A scikit-learn Pipeline from 13 named inputs to the probability of each country.
    """
    import warnings

    import pandas
    import threadpoolctl
    from sklearn.compose import ColumnTransformer
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    used = ~data["test"][data["song"]] & (weight > 0)
    rows = pandas.DataFrame(data["inputs"]).iloc[data["song"][used]]
    target = data["labels"][data["country"][used]].astype(object)
    batch = min(hyperparameters["batch_size"], len(rows))
    network = MLPClassifier(
        hidden_layer_sizes=(hyperparameters["hidden_units"],),
        activation="tanh",
        # scikit-learn divides the penalty by the total weight of a batch, which is about its length.
        alpha=hyperparameters["regularisation"] * batch,
        batch_size=batch,
        learning_rate_init=hyperparameters["learning_rate"],
        max_iter=hyperparameters["epochs"],
        # Every epoch is used: early stopping would split at random and let songs leak.
        n_iter_no_change=hyperparameters["epochs"] + 1,
        random_state=hyperparameters["seed"],
    )
    model = Pipeline([("scale", ColumnTransformer([("all", StandardScaler(), features())])), ("network", network)])
    # Mean 1: only the proportions of the counts matter.
    relative = (weight[used] / weight[used].mean()).astype("float32")
    # One thread: sums are then made in one order, and a second run gives the same bits.
    with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(rows, target, network__sample_weight=relative)


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
    import numpy
    import pyarrow.parquet

    complete = check_hyperparameters(hyperparameters)
    labels = sorted(pyarrow.parquet.ParquetFile(counts_path).read(["country"])["country"].unique().to_pylist())
    data = read_pairs(features_path, counts_path, labels)
    model = fit(data, data["past"] + data["future"], complete)
    # The optimizer's memory is three times the model, and of no use after it.
    del model.named_steps["network"]._optimizer
    joblib.dump(model, model_path)
    trained = ~data["test"][data["song"]]
    return {
        "hyperparameters": complete,
        "countries": len(model.classes_),
        "songs": len(numpy.unique(data["song"][trained])),
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
    import json

    import pandas
    import pyarrow.parquet

    complete = check_hyperparameters(hyperparameters)
    labels = sorted(pyarrow.parquet.ParquetFile(counts_path).read(["country"])["country"].unique().to_pylist())
    data = read_pairs(features_path, counts_path, labels)
    test, song, past, future = (data[name] for name in ("test", "song", "past", "future"))
    learned = ~test[song] & (past > 0)
    # Countries that began to chart after the cut cannot be predicted from before it.
    began = set(data["country"][learned])
    later = (future > 0) & [place in began for place in data["country"]]
    scores: dict = {}
    if len(began) > 1 and (later & test[song]).any():
        model = fit(data, past, complete)
        place = {label: column for column, label in enumerate(model.classes_)}
        country = pandas.Series(data["labels"][data["country"]]).map(place).fillna(-1).to_numpy("int64")
        predicted = model.predict_proba(pandas.DataFrame(data["inputs"])).astype("float64")
        prior, table = memorise(song[learned], country[learned], past[learned], predicted.shape)
        unseen = later & test[song]
        known = later & pandas.Series(song).isin(song[learned]).to_numpy()
        for name, probabilities, rows in (
            ("forward_", predicted, unseen),
            ("forward_prior_", prior[None].repeat(len(predicted), 0), unseen),
            ("forward_known_", predicted, known),
            ("forward_known_memorised_", table, known),
        ):
            if rows.any():
                result = score(probabilities, song[rows], country[rows], future[rows])
                scores |= {name + metric: round(value, 6) for metric, value in result.items()}
    with open(scores_path, "w", encoding="utf-8") as file:
        json.dump(scores, file, indent=1, sort_keys=True)
    return scores


def export_onnx(model_path: str, onnx_path: str, provenance: dict) -> dict:
    """Export the whole pipeline as one ONNX file that says where it comes from.

    Inputs: the 13 features by name, float32, [songs, 1]. Outputs: ``label`` and ``probabilities``; the countries in
    the order of the columns are the JSON list ``labels`` of the file's metadata.

    Args:
        model_path: The fitted pipeline.
        onnx_path: The file to write.
        provenance: Flat, by name: goes into the file's ``metadata_props``.

    Returns:
        ``{"sha256": str, "bytes": int}``.

    Raises:
        ValueError: If the model cannot be exported.
    """
    import hashlib
    import json

    import joblib
    import onnx
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType

    model = joblib.load(model_path)
    inputs = [(name, FloatTensorType([None, 1])) for name in features()]
    try:
        exported = skl2onnx.convert_sklearn(
            model,
            name="jukebox",
            initial_types=inputs,
            options={id(model): {"zipmap": False, "output_class_labels": False}},
            target_opset={"": 17, "ai.onnx.ml": 3},
        )
    except Exception as error:  # skl2onnx raises many kinds, for one reason: no converter.
        raise ValueError(
            f"{type(model).__name__} in {model_path} cannot be exported to ONNX: {str(error).splitlines()[0]} "
            "Next: use only models and preprocessing that skl2onnx supports."
        ) from error
    metadata = {str(name): str(value) for name, value in provenance.items()}
    metadata |= {"labels": json.dumps(list(model.classes_)), "features": json.dumps(features())}
    onnx.helper.set_model_props(exported, dict(sorted(metadata.items())))
    # skl2onnx takes them from a set, so their order differs from process to process.
    imports = sorted(exported.opset_import, key=lambda one: one.domain)
    del exported.opset_import[:]
    exported.opset_import.extend(imports)
    content = exported.SerializeToString(deterministic=True)
    with open(onnx_path, "wb") as file:
        file.write(content)
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def check_onnx(model_path: str, onnx_path: str, features_path: str, tolerance: float = 1e-5) -> dict:
    """Check that the exported model says what the fitted one says, on every held-out song.

    Args:
        model_path: The fitted pipeline.
        onnx_path: The exported one.
        features_path: The prepared songs.
        tolerance: The largest difference of a probability.

    Returns:
        ``{"songs": int, "largest difference": float}``.

    Raises:
        ValueError: If they differ by more.
    """
    import joblib
    import numpy
    import pandas
    import pyarrow.parquet

    songs = pyarrow.parquet.ParquetFile(features_path).read()
    test = songs["part"].to_numpy() == "test"
    inputs = {name: songs[name].to_numpy()[test] for name in features()}
    if not test.any():
        raise ValueError(f"{features_path} holds no held-out song to check on. Next: prepare more songs.")
    model = joblib.load(model_path)
    expected = model.predict_proba(pandas.DataFrame(inputs))
    labels, found = onnx_probabilities(onnx_path, inputs)
    if labels != list(model.classes_):
        raise ValueError(f"{onnx_path} names other countries than {model_path}. Next: export the model again.")
    difference = numpy.abs(expected - found)
    if not difference.max() <= tolerance:
        worst = songs["spotify_id"].to_numpy()[test][difference.max(axis=1).argmax()]
        raise ValueError(
            f"ONNX and scikit-learn differ by {difference.max():.2g} (tolerance {tolerance:g}), most for song {worst}; "
            f"{(difference.max(axis=1) > tolerance).sum()} of {test.sum()} songs are beyond it. "
            "Next: do not register this model; try another preprocessing or newer skl2onnx and onnxruntime."
        )
    return {"songs": int(test.sum()), "largest difference": float(difference.max())}
