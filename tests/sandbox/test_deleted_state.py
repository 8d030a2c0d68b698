"""A state folder that is deleted while its sandbox runs: nothing is left that no command could stop."""

import shutil

import psutil
from stand_in import stand_in_configuration

from jukebox_helpers import sandbox as laptop


def test_all_processes_end_with_their_folder(tmp_path):
    state = tmp_path / "state"
    laptop.up(state, configuration=stand_in_configuration(tmp_path))
    supervisor = psutil.Process(laptop.status(state)["pid"])
    processes = [supervisor, *supervisor.children(recursive=True)]
    assert len(processes) >= 2
    shutil.rmtree(state, ignore_errors=True)  # the sandbox removes a file of its own meanwhile
    shutil.rmtree(state, ignore_errors=True)
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert alive == []
    assert not state.exists()
    assert laptop.status(state) == {"running": False, "state": str(state)}
