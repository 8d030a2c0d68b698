"""Whether the server answers, and what a step printed."""

from flask import Blueprint, Response
from kfp_server_api import V2beta1GetHealthzResponse
from sqlalchemy import select

from jukebox_sandbox.pipeline_server import tables
from jukebox_sandbox.pipeline_server.api.messages import answer, make
from jukebox_sandbox.pipeline_server.api.service import open_session, service
from jukebox_sandbox.pipeline_server.errors import not_found

blueprint = Blueprint("health", __name__)


@blueprint.get("/apis/v2beta1/healthz")
def healthz() -> Response:
    """Say that the server is there, and that it serves one user."""
    return answer(make(V2beta1GetHealthzResponse, multi_user=False, pipeline_store="database"))


@blueprint.get("/apis/v1alpha1/runs/<run_id>/nodes/<pod_name>/log")
def read_log(run_id: str, pod_name: str) -> Response:
    """What a step printed so far."""
    with open_session() as session:
        if session.scalar(select(tables.Run.number).filter_by(id=run_id)) is None:
            raise not_found("Run", run_id)
    file = service().logs / run_id / f"{pod_name}.log"  # a part of a path holds no slash: it leads to no other folder
    if not file.is_file():
        raise not_found("Log of pod", pod_name)
    return Response(file.read_bytes(), mimetype="text/plain", headers={"Cache-Control": "no-cache, private"})
