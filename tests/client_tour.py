"""What a client of Kubeflow Pipelines does with a server, from import to deletion; prints what it saw.

Run as ``python client_tour.py URL PACKAGE``, by another version of kfp as well: it imports nothing else.
The token is in ``KFP_EXISTING_TOKEN``.
"""

import json
import os
import sys
import warnings


def tour(url: str, token: str, package: str) -> dict:
    """Import, add versions, run, list, read, terminate, refuse, delete."""
    import kfp_server_api
    from kfp import Client

    client = Client(host=url, existing_token=token)
    seen: dict = {"multi_user": bool(client.get_kfp_healthz().multi_user)}
    pipeline = client.upload_pipeline(package, pipeline_name="toured", description="A tour.").pipeline_id
    seen["by name"] = client.get_pipeline_id("toured") == pipeline
    version = client.upload_pipeline_version(package, "second", pipeline_id=pipeline).pipeline_version_id
    versions = client.list_pipeline_versions(pipeline, sort_by="created_at desc", page_size=1)
    seen["versions"] = [versions.total_size, versions.pipeline_versions[0].display_name, bool(versions.next_page_token)]
    seen["spec"] = sorted(client.get_pipeline_version(pipeline, version).pipeline_spec)
    experiment = client.create_experiment("tour").experiment_id
    seen["experiment"] = client.get_experiment(experiment_name="tour").experiment_id == experiment
    run = client.run_pipeline(
        experiment, "toured", pipeline_id=pipeline, version_id=version, params={"text": "x", "numbers": {"epochs": 1}}
    ).run_id
    found = client.get_run(run)
    seen["run"] = [found.state, found.runtime_config.parameters, found.error, found.created_at.microsecond]
    inline = client.create_run_from_pipeline_package(package, {"text": "y"}, experiment_id=experiment).run_id
    seen["inline"] = sorted(client.get_run(inline).pipeline_spec)
    seen["runs"] = [one.run_id for one in client.list_runs(experiment_id=experiment, sort_by="created_at").runs] == [
        run,
        inline,
    ]
    client.terminate_run(run)
    client.archive_run(run)
    seen["stored"] = client.get_run(run).storage_state

    def refused(do, *arguments, **named) -> list:
        try:
            do(*arguments, **named)
        except kfp_server_api.ApiException as error:
            body = json.loads(error.body)
            return [error.status, body.get("code")]
        return []

    wrong = {"pipeline_id": pipeline, "version_id": version, "params": {"unknown": 1}}
    seen["refused"] = [
        refused(client.run_pipeline, experiment, "wrong", **wrong),
        refused(client.upload_pipeline, package, pipeline_name="toured"),
        refused(client.get_run, "nothing"),
    ]
    client.delete_run(run)
    client.delete_run(inline)
    for one in client.list_pipeline_versions(pipeline).pipeline_versions:
        client.delete_pipeline_version(pipeline, one.pipeline_version_id)
    client.delete_pipeline(pipeline)
    seen["deleted"] = [client.get_pipeline_id("toured"), refused(client.get_pipeline, pipeline)]
    return seen


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    address, file = sys.argv[1:]
    print(json.dumps(tour(address, os.environ["KFP_EXISTING_TOKEN"], file)))
