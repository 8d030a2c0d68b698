"""The gate: whether a model is good enough to be registered."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Tolerances:
    """What the gate asks for, in nats of log-loss (a nat is a factor of 2.7 in probability).

    Attributes:
        prior_margin: Better than the prior by at least this.
        previous_log_loss: Worse than the previous version by at most this.
    """

    prior_margin: float = 0.02
    previous_log_loss: float = 0.02


@dataclass(frozen=True)
class Comparison:
    """This version and the previous one, on the same songs and the countries that both know.

    Attributes:
        this: This version's scores.
        previous: The previous one's.
        loss: By country, this version's log-loss and the previous one's.
        countries: How many both know.
    """

    this: dict[str, float]
    previous: dict[str, float]
    loss: dict[str, tuple[float, float]]
    countries: int


def complete_tolerances(given: dict | None) -> Tolerances:
    """Tolerances by name, those that are not given by default; a ValueError for what is none."""
    known = sorted(one.name for one in fields(Tolerances))
    for name, value in (given or {}).items():
        if name not in known or isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(
                f"{name!r}: {value!r} is not a tolerance. Next: give numbers for {known} (tolerances in "
                "default_parameters.json)."
            )
    return Tolerances(**{name: float(value) for name, value in (given or {}).items()})


def gate_reasons(
    mine: dict[str, float], prior: dict[str, float], compared: Comparison | None, limits: Tolerances
) -> list[str]:
    """Say why a model may not be registered.

    Args:
        mine: The model's scores.
        prior: The prior's.
        compared: How it compares with the previous version, if it does.
        limits: The tolerances.

    Returns:
        A sentence for each broken rule: by how much, and where; empty if the model passes.
    """
    reasons = []
    better = prior["log_loss"] - mine["log_loss"]
    # Written as "not at least", so that a score that is not a number fails.
    if not better >= limits.prior_margin:
        reasons.append(
            f"log-loss {mine['log_loss']:.4f} is {abs(better):.4f} {'better' if better > 0 else 'worse'} than the "
            f"prior's {prior['log_loss']:.4f}; at least {limits.prior_margin:g} better is asked for"
        )
    if compared:
        ours, theirs = compared.this["log_loss"], compared.previous["log_loss"]
        if not ours - theirs <= limits.previous_log_loss:
            lost = {country: now - before for country, (now, before) in compared.loss.items()}
            worst = sorted(lost, key=lambda country: (-lost[country], country))[:3]
            reasons.append(
                f"log-loss {ours:.4f} is {ours - theirs:.4f} worse than the previous version's {theirs:.4f}; "
                f"{limits.previous_log_loss:g} is tolerated; most is lost in "
                + ", ".join(f"{country} ({lost[country]:+.3f})" for country in worst)
            )
    return reasons


def refuse_if_failed(report: dict) -> None:
    """Stop here if the gate did not let the model of an evaluation pass: a ValueError with its reasons."""
    if not report["gate"]["passed"]:
        raise ValueError(
            "The gate refuses this model, nothing was registered:\n- "
            + "\n- ".join(report["gate"]["reasons"])
            + "\nNext: look at the data that changed and at the hyperparameters; the tolerances are parameters too, "
            "in default_parameters.json."
        )
