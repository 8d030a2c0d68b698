"""The gate: whether a model is good enough to be registered."""

DEFAULT_TOLERANCES = {
    # Better than the prior by at least this.
    "prior_margin": 0.02,
    # Worse than the previous version by at most this.
    "previous_log_loss": 0.02,
}
"""What the gate asks for, in nats of log-loss (a nat is a factor of 2.7 in probability)."""


def complete_tolerances(given: dict | None) -> dict:
    """All tolerances, those that are not given as in ``DEFAULT_TOLERANCES``; a ValueError for what is none."""
    for name, value in (given or {}).items():
        if name not in DEFAULT_TOLERANCES or isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(
                f"{name!r}: {value!r} is no tolerance. Next: give numbers for {sorted(DEFAULT_TOLERANCES)} (tolerances "
                "in default_parameters.json)."
            )
    return {name: float(value) for name, value in {**DEFAULT_TOLERANCES, **(given or {})}.items()}


def gate_reasons(results: dict, compared: dict, limits: dict) -> list:
    """Say why a model may not be registered.

    Args:
        results: Scores by predictor; ``""`` is the model, ``"prior_"`` the prior.
        compared: What ``compare_with_previous`` returned.
        limits: The tolerances.

    Returns:
        A sentence for each broken rule: by how much, and where; empty if the model passes.
    """
    reasons = []
    mine, prior = results[""]["log_loss"], results["prior_"]["log_loss"]
    # Written as "not at least", so that a score that is no number fails.
    if not prior - mine >= limits["prior_margin"]:
        reasons.append(
            f"log-loss {mine:.4f} is {abs(prior - mine):.4f} {'better' if mine < prior else 'worse'} than the prior's "
            f"{prior:.4f}; at least {limits['prior_margin']:g} better is asked for"
        )
    if "loss" in compared:
        mine, theirs = compared["this"]["log_loss"], compared["previous"]["log_loss"]
        if not mine - theirs <= limits["previous_log_loss"]:
            lost = {country: ours - before for country, (ours, before) in compared["loss"].items()}
            worst = sorted(lost, key=lambda country: (-lost[country], country))[:3]
            reasons.append(
                f"log-loss {mine:.4f} is {mine - theirs:.4f} worse than the previous version's {theirs:.4f}; "
                f"{limits['previous_log_loss']:g} is tolerated; most is lost in "
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
