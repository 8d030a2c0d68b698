"""Check a grid: every candidate's hyperparameters, before anything is fetched or trained."""

from typing import Dict, List  # noqa: UP035 (2.14 knows the items of these lists only)

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.model import check_hyperparameters


@step()
def check_grid(grid: List[Dict]):  # noqa: UP006
    """Refuse a grid that is empty, or a hyperparameter that the model does not have."""
    if not grid:
        raise ValueError('The grid is empty. Next: give it candidates, e.g. [{"epochs": 10}, {"epochs": 40}].')
    for candidate in grid:
        check_hyperparameters(candidate)
    print(f"{len(grid)} candidates.")
