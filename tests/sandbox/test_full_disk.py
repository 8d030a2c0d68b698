"""A disk without room: what is asked for is refused in a sentence, and nothing stays half done when there is room."""

import contextlib
import resource
import sys
import time

import psutil
import pytest
from kfp import Client, compiler, dsl
from kfp_server_api import ApiException
from waiting import eventually

from jukebox_helpers import sandbox as platform


@dsl.component(base_image="python:3.12")
def wait(folder: str, data: dsl.Output[dsl.Dataset]):
    import os
    import time

    open(f"{folder}/waiting", "w").close()
    while not os.path.exists(f"{folder}/gate"):
        time.sleep(0.02)
    open(data.path, "w").close()


@dsl.component(base_image="python:3.12")
def read(data: dsl.Input[dsl.Dataset]):
    open(data.path).close()


@dsl.pipeline(name="waits")
def waits(folder: str):
    read(data=wait(folder=folder).set_caching_options(False).output)


def room(settings, wanted):
    """Let the sandbox's process write files, or fail in each write as on a full disk.

    A process that it started meanwhile has inherited the limit; where there is room again, there is room for all.
    """
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    process = psutil.Process(platform.status(settings.state)["pid"])
    process.rlimit(psutil.RLIMIT_FSIZE, (most if wanted else 0, most))
    if wanted:
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.rlimit(psutil.RLIMIT_FSIZE, (most, most))


@pytest.mark.skipif(sys.platform != "linux", reason="the files of another process can be limited on Linux only")
def test_what_a_full_disk_cuts_short_says_so_and_goes_on_when_there_is_room(fresh_sandbox, tmp_path):
    token = fresh_sandbox.secret("pipeline-server")["token"]
    client = Client(host=fresh_sandbox.pipeline_server, existing_token=token)
    compiler.Compiler().compile(waits, str(tmp_path / "waits.yaml"))
    pipeline = client.upload_pipeline(str(tmp_path / "waits.yaml"), pipeline_name="waits").pipeline_id
    (version,) = client.list_pipeline_versions(pipeline).pipeline_versions
    wanted = {"pipeline_id": pipeline, "version_id": version.pipeline_version_id, "params": {"folder": str(tmp_path)}}
    experiment = client.get_experiment(experiment_name="Default").experiment_id
    run = client.run_pipeline(experiment, "cut short", **wanted).run_id
    eventually((tmp_path / "waiting").exists)
    often = client.create_recurring_run(experiment, "often", interval_second=1, **wanted).recurring_run_id
    room(fresh_sandbox, False)
    (tmp_path / "gate").touch()
    with pytest.raises(ApiException, match="The pipeline server's database cannot be used: .*Make room on the disk"):
        client.run_pipeline(experiment, "refused", **wanted)
    with pytest.raises(ApiException, match="Make room on the disk"):
        client.upload_pipeline(str(tmp_path / "waits.yaml"), pipeline_name="refused")
    time.sleep(2.5)  # the schedule has been due meanwhile
    room(fresh_sandbox, True)
    found = eventually(lambda: one if (one := client.get_run(run)).state == "FAILED" else None)
    said = found.state_history[-1].error.message
    assert said.startswith("The pipeline server's database cannot be used: ")
    assert said.endswith("\nNext: Make room on the disk, and retry the run; steps that are done are not repeated.")
    assert {task.state for task in found.run_details.task_details} <= {"SUCCEEDED", "FAILED"}
    assert [one.display_name for one in client.list_pipelines().pipelines] == ["waits"]
    client._run_api.run_service_retry_run(run)
    ended = client.wait_for_run_completion(run, 60, sleep_duration=1)
    assert ended.state == "SUCCEEDED", ended.state_history
    client.enable_recurring_run(often)
    before = client.list_runs(page_size=200).total_size
    eventually(lambda: client.list_runs(page_size=200).total_size > before)
