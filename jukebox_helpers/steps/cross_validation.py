"""Comparing hyperparameters without touching the held-out songs.

It travels into a pipeline step (packages: duckdb, numpy, pandas, scikit-learn).
"""

from jukebox_helpers.steps.memory import give_memory_back
from jukebox_helpers.steps.model import check_hyperparameters, fit, predictor
from jukebox_helpers.steps.pairs import read_pairs
from jukebox_helpers.steps.scoring import judge, score


def cross_validate(features_path: str, counts_path: str, hyperparameters: dict, folds: int = 3) -> dict:
    """Score hyperparameters by cross-validation over the training songs, by song.

    Songs with the same features count as one: none is in two folds. The held-out songs take no part, so what is
    chosen by these scores can still be measured on them.

    Args:
        features_path: The prepared songs.
        counts_path: The prepared counts.
        hyperparameters: As for ``model.train``.
        folds: How many parts, at least 2.

    Returns:
        ``log_loss`` (nats), ``top1``, ``top5`` and ``ece``: means over the folds.

    Raises:
        ValueError: If a hyperparameter makes no sense, or there are fewer songs than folds.
    """
    give_memory_back()
    import numpy

    complete = check_hyperparameters(hyperparameters)
    data = read_pairs(features_path, counts_path)
    weight, training = data.rows, ~data.held_out
    _, group = numpy.unique(numpy.stack(list(data.inputs.values()), axis=1), axis=0, return_inverse=True)
    order = numpy.random.default_rng(complete["seed"]).permutation(group.max() + 1)
    fold = (order % folds)[group.ravel()][data.song]
    if folds < 2 or len(set(fold[training])) < folds:
        raise ValueError(f"There are too few training songs for {folds} folds. Next: prepare more songs.")
    results = []
    for number in range(folds):
        model = fit(data, weight * (fold != number), complete)
        known = numpy.isin(data.labels, model.classes_)
        # A country that only the left-out songs have cannot be predicted: its rows are not scored.
        rows = training & (fold == number) & (weight > 0) & known[data.country]
        column = (known.cumsum() - 1)[data.country[rows]]
        results.append(score(judge(predictor(model, data), data.song[rows], column, weight[rows])))
    return {name: float(numpy.mean([result[name] for result in results])) for name in results[0]}
