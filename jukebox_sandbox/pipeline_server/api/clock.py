"""The sandbox's clock, for lessons and tests: ``GET /sandbox/clock``, ``POST /sandbox/clock`` with ``{"days": 1}``."""

from typing import cast

from flask import Blueprint, Response, current_app, jsonify, request

from jukebox_sandbox.pipeline_server.api.messages import read_json, timestamp
from jukebox_sandbox.pipeline_server.errors import invalid
from jukebox_sandbox.pipeline_server.schedules import DAY, Clock

EXTENSION = "clock"
FURTHEST = 36500
"""Days that the clock may be ahead."""

blueprint = Blueprint("clock", __name__, url_prefix="/sandbox/clock")


def clock() -> Clock:
    """The clock of the application that answers this request."""
    return cast(Clock, current_app.extensions[EXTENSION])


@blueprint.get("")
def show() -> Response:
    """What time it is here, and how many days that is ahead."""
    return jsonify(now=timestamp(clock().now()), days=clock().offset // DAY)


@blueprint.post("")
def move() -> Response:
    """Move the clock forward by whole days; what is due then runs."""
    wanted = read_json(request.get_data())
    days = wanted.get("days") if isinstance(wanted, dict) else None
    if type(days) is not int or days < 1 or clock().offset // DAY + days > FURTHEST:
        raise invalid("The clock moves forward by whole days, a hundred years in all.", 'Send {"days": 1}.')
    clock().move(days)
    return show()
