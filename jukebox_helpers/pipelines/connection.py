"""The connection to a pipeline server: patience for what passes, one clear message for what does not."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from jukebox_helpers.errors import JukeboxError

PASSES = {429, 500, 502, 503, 504}
"""Answers of a server, or of the route before it, that may be better a moment later."""

NOT_STARTED = {429, 503}
"""Those after which even a request that makes something may be sent again: nothing was begun."""

PAUSES = (0.5, 1.0, 2.0)
"""Seconds before each further attempt."""

RESTART = "Run ./jukebox down, then ./jukebox up: the sandbox starts anew and keeps what it holds."


class AlreadyThere(JukeboxError):
    """The server has something of that name."""


class NotThere(JukeboxError):
    """The server has nothing of that id."""


class NoApi(Exception):
    """An answer that is not JSON, such as a login page."""


def polite(rest: Any, timeout: float) -> None:
    """Make a generated client's requests end in time, try again what may pass, and refuse what is not JSON.

    ``rest`` is its ``rest_client``; ``timeout`` is how long to wait for an answer, in seconds.
    """
    from kfp_server_api import ApiException
    from urllib3 import Retry
    from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError, ProtocolError

    request = rest.request
    # The attempts are counted here; urllib3 would log each of its own.
    rest.pool_manager.connection_pool_kw["retries"] = Retry(5, connect=0, read=0, status=0, other=0)

    def patient(method: str, url: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
        options["_request_timeout"] = options.get("_request_timeout") or (min(10.0, timeout), timeout)
        again = PASSES if method in ("GET", "DELETE") else NOT_STARTED
        for pause in (*PAUSES, None):
            try:
                # A copy, because sending a file takes a header away.
                answer = request(method, url, headers=dict(headers or {}), **options)
            except (ApiException, MaxRetryError) as error:
                if isinstance(error, ApiException):
                    passes = error.status in again
                else:
                    broken = isinstance(error.reason, (NewConnectionError, ProtocolError))
                    passes = again is PASSES and broken and not isinstance(error.reason, NameResolutionError)
                if pause is None or not passes:
                    raise
                time.sleep(pause)
                continue
            kind = answer.getheader("Content-Type") or ""
            if "json" not in kind and ("html" in kind or not url.endswith("/log")):
                raise NoApi
            return answer

    rest.request = patient


@contextmanager
def explained(host: str, namespace: str) -> Iterator[None]:
    """Turn what KFP's client raises inside the block into one clear message, a JukeboxError.

    It is AlreadyThere if the server has something of that name, NotThere if it has nothing of that id.
    """
    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except NoApi:
        raise JukeboxError(
            f"{host} answers with a page, e.g. a login page, and not as a pipeline server does.",
            "Use the address inside the cluster, or check the variable KF_PIPELINES_ENDPOINT.",
        ) from None
    except ApiException as error:
        raise refusal(error, host, namespace) from None
    except HTTPError as error:
        raise unreachable(error, host, namespace) from None
    except OSError as error:
        raise JukeboxError(
            f"The service account's token cannot be read: {error}", "Run this in a workbench or a pipeline's pod."
        ) from None


def is_laptop(host: str) -> bool:
    """Whether the address of a pipeline server is that of a sandbox: it listens on loopback only."""
    return urlsplit(host).hostname == "127.0.0.1"


def configure(host: str, namespace: str) -> str:
    """What to do where nobody answers at the address of a project's pipeline server."""
    if is_laptop(host):
        return "Run ./jukebox status: the sandbox may have stopped. ./jukebox up starts it."
    return f"In the OpenShift AI dashboard, open the project {namespace} > Pipelines > Configure pipeline server."


def refusal(error: Any, host: str, namespace: str) -> JukeboxError:
    """The error, not raised, for an answer of the server: an ``ApiException`` of KFP's client."""
    said = words_of(error)
    if error.status == 409:
        return AlreadyThere(f"The pipeline server has this already: {said}", "Run this again.")
    if error.status == 0:
        return untrusted(host, said)
    answered = f"The pipeline server of the project {namespace!r} answers {error.status}"
    kind = str(getattr(error, "headers", None) or "")
    next_actions = {
        400: "Fix what the server names, then run this again.",
        401: "The token may have expired: restart the workbench, then run this again.",
        403: "Ask for the role ds-pipeline-user-access-dspa in this project (docs/rhoai.md says how).",
        404: "Check the address; it must speak the API v2beta1 (OpenShift AI 2.16 and later).",
    }
    otherwise = "Look at the pipeline server's pods, then run this again."
    if is_laptop(host):
        next_actions, otherwise = {400: next_actions[400]}, RESTART
    if "html" in kind and error.status in (401, 403) and not is_laptop(host):
        return JukeboxError(
            f"{answered} with a login page: it does not accept the token.",
            f"{next_actions[401]} If that does not help: {next_actions[403]}",
        )
    if "html" in kind:
        return JukeboxError(f"{answered} with a page: there is none at {host}.", configure(host, namespace))
    if "json" in kind and error.status == 404:
        return NotThere(
            f"{answered}: {said}", "See in the dashboard whether it was deleted, then ./jukebox import it again."
        )
    return JukeboxError(
        f"{answered}: {said}",
        next_actions.get(error.status, otherwise),
    )


def unreachable(error: Any, host: str, namespace: str) -> JukeboxError:
    """The error, not raised, for a server that gave no answer: an ``HTTPError`` of urllib3."""
    from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError, SSLError, TimeoutError

    cause = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(cause, SSLError):
        return untrusted(host, cause)
    if isinstance(cause, NameResolutionError):
        return JukeboxError(
            f"The project {namespace!r} has no pipeline server: {host} is not a known address.",
            configure(host, namespace),
        )
    if isinstance(cause, TimeoutError) and not isinstance(cause, NewConnectionError):
        pods = "" if is_laptop(host) else ", and at the pods of the server"
        return JukeboxError(
            f"The pipeline server {host} did not answer in time; what was asked may still be done.",
            f"Look in the dashboard{pods}, then run this again.",
        )
    return JukeboxError(f"The pipeline server {host} cannot be reached: {cause}", configure(host, namespace))


def untrusted(host: str, reason: object) -> JukeboxError:
    """The error for a certificate that is not trusted."""
    return JukeboxError(
        f"The certificate of {host} is not trusted: {str(reason).splitlines()[-1]}",
        "Inside the cluster, service-ca.crt of the service account signs it. For a route, name the PEM file with the "
        "cluster's CA in the variable SSL_CERT_FILE.",
    )


def words_of(error: Any) -> str:
    """What the server said, in its own words."""
    try:
        body = json.loads(error.body)
        return str(body.get("message") or body.get("error_message") or body.get("error") or body)
    except (TypeError, ValueError, AttributeError):
        return str(error.reason or error.body)[:500]
