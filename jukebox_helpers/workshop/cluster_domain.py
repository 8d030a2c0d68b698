"""The cluster domain of a workbench, asked for in a notebook."""

from typing import Any

import ipywidgets

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import KIT, state_folder
from jukebox_helpers.workbench import QUESTION, find_cluster_domain, remember_cluster_domain


def ask_cluster_domain() -> Any:
    """Ask for the cluster domain in a notebook: a widget with a field and a button, for the cell to show."""
    state = state_folder()
    field = ipywidgets.Text(value=find_cluster_domain(state, KIT), placeholder=QUESTION, layout={"width": "40em"})
    button = ipywidgets.Button(description="Remember")
    said = ipywidgets.HTML()

    def answer(_: Any) -> None:
        try:
            said.value = f"Remembered: {remember_cluster_domain(field.value, state)}"
        except JukeboxError as error:
            said.value = str(error)

    button.on_click(answer)
    return ipywidgets.VBox([ipywidgets.HBox([field, button]), said])
