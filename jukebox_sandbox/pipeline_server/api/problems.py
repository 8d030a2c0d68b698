"""Errors as answers: the body is a ``google.rpc.Status``, the HTTP status is the one that belongs to its code.

https://github.com/grpc-ecosystem/grpc-gateway/blob/main/runtime/errors.go
"""

import json
import logging
from typing import Any

from flask import Response, request
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server.errors import Code, RequestError, invalid
from jukebox_sandbox.pipeline_server.specs import SIZE_LIMIT

STATUS = {
    Code.INVALID_ARGUMENT: 400,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.FAILED_PRECONDITION: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}
"""The HTTP status of a code."""

OLDER = ("/pipelines/upload", "/pipelines/upload_version", "/log")
"""Paths that the real server answers without its gateway: their errors have another form."""


def respond_to(error: Exception) -> Response:
    """The answer to a request that failed."""
    if isinstance(error, RequestError):
        return refuse(error)
    if isinstance(error, SandboxError):
        return refuse(invalid(error.what, error.next_action))
    if isinstance(error, HTTPException):
        return _http(error)
    if isinstance(error, OperationalError):
        why = f"The pipeline server's database cannot be used: {error.orig}."
        return refuse(RequestError(Code.UNAVAILABLE, why, "Make room on the disk, and ask again."))
    logging.getLogger(__name__).exception("A request failed.")
    return refuse(RequestError(Code.INTERNAL, "The pipeline server failed; its log says where."))


def refuse(error: RequestError, status: int | None = None) -> Response:
    """The answer that says why not.

    Args:
        error: What is wrong.
        status: The HTTP status; by default the one of the error's code.

    Returns:
        The answer. ``error`` is what older servers have beside ``message``.
    """
    if error.code != Code.UNAUTHENTICATED and request.url_rule and request.url_rule.rule.endswith(OLDER):
        said: dict[str, Any] = {"error_message": str(error), "error_details": str(error)}
        # The real server has said 200 when it finds that there is no log.
        status = 200 if request.path.endswith("/log") else status or STATUS[error.code]
        return Response(json.dumps(said), status, mimetype="application/json")
    detail = {"@type": "type.googleapis.com/google.rpc.Status", "code": int(error.code), "message": str(error)}
    said = {"error": str(error), "code": int(error.code), "message": str(error), "details": [detail]}
    return Response(json.dumps(said), status or STATUS[error.code], mimetype="application/json")


def _http(error: HTTPException) -> Response:
    """What the web framework itself refuses."""
    if error.code == 413:
        return refuse(invalid(f"File size too large. Maximum supported file size: {SIZE_LIMIT} bytes."))
    if error.code == 404:
        return refuse(RequestError(Code.NOT_FOUND, "Not Found"))
    if error.code == 405:
        return refuse(RequestError(Code.UNIMPLEMENTED, "Method Not Allowed"), 405)
    if error.code and 300 <= error.code < 400:
        return refuse(RequestError(Code.NOT_FOUND, "Not Found"))
    return refuse(invalid("The request cannot be read."))
