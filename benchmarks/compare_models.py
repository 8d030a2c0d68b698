"""Which model? Cross-validation by song on the training part, with cost beside accuracy: the table of docs/model.md.

Run: ``.venv/bin/python benchmarks/compare_models.py [--songs FILE] [--folds N] [--only NAME]``
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pandas
import skl2onnx
import threadpoolctl
from onnxruntime import InferenceSession
from skl2onnx.common.data_types import FloatTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from jukebox_helpers.steps import sample_data, sample_rankings
from jukebox_helpers.steps.constants import FEATURES
from jukebox_helpers.steps.model import check_hyperparameters, fit
from jukebox_helpers.steps.pairs import Pairs, read_pairs
from jukebox_helpers.steps.preparation import prepare
from jukebox_helpers.steps.scoring import judge, memorise, score

CHOSEN = "network 64"
"""The model of ``training.fit``."""


def taught(data: Pairs, weight: numpy.ndarray, **hyperparameters: Any) -> Pipeline:
    """A network as ``training.fit`` makes it."""
    return fit(data, weight, check_hyperparameters(hyperparameters))


def by_pairs(make: Callable[[], Any], data: Pairs, weight: numpy.ndarray) -> Pipeline:
    """Another model, fitted by scikit-learn: a row for each song and country."""
    used = ~data.held_out & (weight > 0)
    model = Pipeline([("scale", ColumnTransformer([("all", StandardScaler(), FEATURES)])), ("model", make())])
    relative = (weight[used] / weight[used].mean()).astype("float32")
    target = data.labels[data.country[used]].astype(object)
    return model.fit(pandas.DataFrame(data.inputs).iloc[data.song[used]], target, model__sample_weight=relative)


def network(units: tuple[int, ...], activation: str = "tanh") -> MLPClassifier:
    """The same network, but of other layers, as scikit-learn fits it: on pairs."""
    settings: dict[str, Any] = {"batch_size": 1000, "learning_rate_init": 0.003, "max_iter": 20, "n_iter_no_change": 21}
    return MLPClassifier(units, activation=activation, alpha=0.002 * 1000, random_state=0, **settings)


def candidates() -> dict[str, Callable[[Pairs, numpy.ndarray], Pipeline]]:
    """The models that are compared, by name: what fits one on pairs with weights."""
    trees: dict[str, Any] = {"n_estimators": 100, "random_state": 0, "n_jobs": 2}
    boosting: dict[str, Any] = {"max_leaf_nodes": 8, "early_stopping": False, "random_state": 0}
    return {
        "logistic regression, C=0.1": partial(by_pairs, lambda: LogisticRegression(C=0.1, max_iter=200)),
        "logistic regression, C=0.01": partial(by_pairs, lambda: LogisticRegression(C=0.01, max_iter=200)),
        "network without hidden layer, by pairs": partial(by_pairs, lambda: network(())),
        "network 32": partial(taught, hidden_units=32),
        CHOSEN: taught,
        "network 64, by pairs": partial(by_pairs, lambda: network((64,))),
        "network 64, 5 epochs": partial(taught, epochs=5),
        "network 64, 60 epochs": partial(taught, epochs=60),
        "network 64, batches of 1000 songs": partial(taught, batch_size=1000),
        "network 64, hardly regularised": partial(taught, regularisation=1e-6),
        "network 64, relu, by pairs": partial(by_pairs, lambda: network((64,), "relu")),
        "network 128": partial(taught, hidden_units=128),
        "network 64+64, by pairs": partial(by_pairs, lambda: network((64, 64))),
        "gradient boosting, 10 rounds": partial(
            by_pairs, lambda: HistGradientBoostingClassifier(max_iter=10, **boosting)
        ),
        "gradient boosting, 30 rounds": partial(
            by_pairs, lambda: HistGradientBoostingClassifier(max_iter=30, **boosting)
        ),
        "random forest, leaves of 50": partial(by_pairs, lambda: RandomForestClassifier(min_samples_leaf=50, **trees)),
        "random forest, leaves of 5": partial(by_pairs, lambda: RandomForestClassifier(min_samples_leaf=5, **trees)),
        "extra trees, leaves of 20": partial(by_pairs, lambda: ExtraTreesClassifier(min_samples_leaf=20, **trees)),
    }


def prepared(songs: str | None, folder: Path) -> Pairs:
    """Prepare the training songs and their counts, at full size."""
    table, rankings = songs or str(folder / "songs.parquet"), str(folder / "rankings.parquet")
    if not songs:
        sample_data.make_songs(table)
    sample_rankings.make_rankings(rankings, table)
    prepare(table, rankings, str(folder / "features.parquet"), str(folder / "counts.parquet"))
    return read_pairs(str(folder / "features.parquet"), str(folder / "counts.parquet"))


def folds(data: Pairs, count: int) -> Iterator[tuple[numpy.ndarray, numpy.ndarray]]:
    """Split the training pairs by sound: songs with the same features are in the same fold."""
    training = numpy.flatnonzero(~data.held_out)
    sound = pandas.DataFrame(data.inputs).groupby(FEATURES).ngroup().to_numpy()
    for train, test in GroupKFold(count).split(training, groups=sound[data.song[training]]):
        yield training[train], training[test]


def rows_per_second(predict: Callable[[Any], Any], rows: Any, count: int) -> float:
    """Measure how many rows are predicted in a second, with inputs at hand; the best of some tries."""
    predict(rows)
    times: list[float] = []
    while sum(times) < 0.3 or len(times) < 3:
        start = time.perf_counter()
        predict(rows)
        times.append(time.perf_counter() - start)
    return count / min(times)


def exported(model: Pipeline) -> bytes | None:
    """Export a model, or say why that is impossible."""
    try:
        return skl2onnx.convert_sklearn(
            model,
            initial_types=[(name, FloatTensorType([None, 1])) for name in FEATURES],
            options={id(model): {"zipmap": False}},
            target_opset={"": 17, "ai.onnx.ml": 3},
        ).SerializeToString()
    except Exception as error:
        print(f"  not exported: {str(error).splitlines()[0]}")
        return None


def cost(model: Pipeline, songs: pandas.DataFrame) -> dict[str, float]:
    """Measure the size of the exported model, and the speed of both."""
    content = exported(model)
    result = {"ONNX (kB)": len(content) / 1000} if content else {}
    session = InferenceSession(content, providers=["CPUExecutionProvider"]) if content else None
    for batch in (1, 10_000):
        rows = songs.iloc[numpy.arange(batch) % len(songs)]
        arrays = {name: rows[[name]].to_numpy() for name in FEATURES}
        speed = rows_per_second(model.predict_proba, rows, batch)
        result[f"scikit-learn rows/s, batch {batch}"] = speed
        if session:
            run = partial(session.run, ["probabilities"])
            result[f"ONNX rows/s, batch {batch}"] = rows_per_second(run, arrays, batch)
    return result


def measure(make: Callable[[Pairs, numpy.ndarray], Pipeline], data: Pairs, count: int) -> dict[str, Any]:
    """Cross-validate one model, and measure its cost on the last fold."""
    songs = pandas.DataFrame(data.inputs)
    weight = data.rows
    scores, seconds = [], []
    for train, test in folds(data, count):
        here = numpy.zeros_like(weight)
        here[train] = weight[train]
        start = time.perf_counter()
        model = make(data, here)
        seconds.append(time.perf_counter() - start)
        answer = lambda rows, model=model: model.predict_proba(songs.iloc[rows])  # noqa: E731
        scores.append(score(judge(answer, data.song[test], data.country[test], weight[test])))
    result: dict[str, Any] = {name: float(numpy.mean([one[name] for one in scores])) for name in scores[0]}
    result["losses"] = [one["log_loss"] for one in scores]
    result["fit (s)"] = float(numpy.mean(seconds))
    return result | cost(model, songs)


def baselines(data: Pairs, count: int) -> dict[str, Any]:
    """Cross-validate the prior; on unseen songs the memorising table is no different."""
    weight = data.rows
    scores = []
    for train, test in folds(data, count):
        _, table = memorise(data.song[train], data.country[train], weight[train], len(data.labels))
        scores.append(score(judge(table, data.song[test], data.country[test], weight[test])))
    result: dict[str, Any] = {name: float(numpy.mean([one[name] for one in scores])) for name in scores[0]}
    return result | {"losses": [one["log_loss"] for one in scores]}


def main() -> None:
    """Compare, and print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", help="given songs (Parquet) instead of made-up ones")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", default="", help="only models whose name begins so")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, threadpoolctl.threadpool_limits(1):
        data = prepared(arguments.songs, Path(folder))
        rows = {"prior; a table of songs": baselines(data, arguments.folds)}
        for name, make in candidates().items():
            if name.startswith(arguments.only):
                print(name, flush=True)
                rows[name] = measure(make, data, arguments.folds)
    print("\n" + markdown(rows))


def markdown(rows: dict[str, dict[str, Any]]) -> str:
    """Write the results as Markdown; differences of log-loss are paired by fold, with their standard error."""
    formats = {
        "log_loss": "{:.4f}",
        "behind": "{}",
        "top1": "{:.2%}",
        "top5": "{:.2%}",
        "ece": "{:.2%}",
        "fit (s)": "{:.2f}",
        "ONNX (kB)": "{:,.0f}",
        "ONNX rows/s, batch 1": "{:,.0f}",
        "scikit-learn rows/s, batch 1": "{:,.0f}",
        "ONNX rows/s, batch 10000": "{:,.0f}",
        "scikit-learn rows/s, batch 10000": "{:,.0f}",
    }
    reference = numpy.array(rows.get(CHOSEN, next(iter(rows.values())))["losses"])
    lines = ["| model | " + " | ".join(formats) + " |", "|---" * (len(formats) + 1) + "|"]
    for name, row in rows.items():
        behind = numpy.array(row["losses"]) - reference
        row["behind"] = f"{behind.mean():+.4f} ± {behind.std(ddof=1) / len(behind) ** 0.5:.4f}"
        cells = [form.format(row[column]) if column in row else "" for column, form in formats.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
