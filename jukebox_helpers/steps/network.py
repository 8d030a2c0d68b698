"""A dense network that learns a song as one row, however many countries play it.

scikit-learn's own ``fit`` takes one label a row: a song of five countries is five rows with the same inputs, and the
labels become a matrix of pairs x countries. The gradients of these rows add up to that of one row with five shares; so
the same steps take a fraction of the time and of the memory.

It travels into pipeline steps (packages: numpy, scikit-learn).
"""

from typing import TYPE_CHECKING

from jukebox_helpers.steps.pairs import pairs_of

if TYPE_CHECKING:
    import numpy
    from sklearn.neural_network import MLPClassifier


# Long: the loop of Adam, as in its paper.
def teach(
    network: "MLPClassifier",
    inputs: "numpy.ndarray",
    first: "numpy.ndarray",
    country: "numpy.ndarray",
    weight: "numpy.ndarray",
    hyperparameters: dict,
) -> None:
    """Fit the weights of a network with Adam (https://arxiv.org/abs/1412.6980), on batches of songs.

    Args:
        network: One hidden layer of tanh units, with weights to begin from; they are changed in place.
        inputs: Scaled, float32; a row a song.
        first: Place of the first pair of each song; pairs are ordered by song.
        country: Place among the network's classes, for each pair.
        weight: Ranking rows of each pair; above 0.
        hyperparameters: What ``model.check_hyperparameters`` returns.
    """
    import numpy

    weights = [*network.coefs_, *network.intercepts_]
    means, squares = ([numpy.zeros_like(layer) for layer in weights] for _ in range(2))
    inner, outer, inner_shift, outer_shift = weights
    strength, size = hyperparameters["regularisation"], hyperparameters["batch_size"]
    last, mass = numpy.append(first[1:], len(country)), numpy.add.reduceat(weight, first)
    random = numpy.random.default_rng(hyperparameters["seed"])
    steps, curve = 0, []
    for _ in range(hyperparameters["epochs"]):
        order, lost = random.permutation(len(inputs)), 0.0
        for start in range(0, len(order), size):
            songs = order[start : start + size]
            row, pair = pairs_of(first[songs], last[songs])
            part = (mass[songs] / mass[songs].sum()).astype("float32")
            share, column = (weight[pair] / mass[songs].sum()).astype("float32"), country[pair]
            hidden = numpy.tanh(inputs[songs] @ inner + inner_shift)
            output = hidden @ outer + outer_shift
            if outer.shape[1] == 1:
                # scikit-learn gives two countries one output: the second's, against a first that stays at 0.
                output = numpy.pad(output, ((0, 0), (1, 0)))
            output -= output.max(axis=1, keepdims=True)
            numpy.exp(output, out=output)
            output /= output.sum(axis=1, keepdims=True)
            loss = -(share * numpy.log(output[row, column].clip(1e-12))).sum()
            loss += strength / 2 * ((inner * inner).sum() + (outer * outer).sum())
            lost += float(loss) * len(songs)

            output *= part[:, None]
            output[row, column] -= share
            output = output[:, -outer.shape[1] :]
            back = (output @ outer.T) * (1 - hidden * hidden)
            slopes = [inputs[songs].T @ back + strength * inner, hidden.T @ output + strength * outer]
            slopes += [back.sum(axis=0), output.sum(axis=0)]
            steps += 1
            step = hyperparameters["learning_rate"] * (1 - 0.999**steps) ** 0.5 / (1 - 0.9**steps)
            for layer, slope, mean, square in zip(weights, slopes, means, squares, strict=True):
                mean += 0.1 * (slope - mean)
                square += 0.001 * (slope * slope - square)
                layer -= step * mean / (numpy.sqrt(square) + 1e-8)
        curve.append(lost / len(order))
    network.loss_curve_, network.loss_, network.n_iter_ = curve, curve[-1], len(curve)
