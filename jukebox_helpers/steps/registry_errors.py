"""What goes wrong with a request to the model registry, in the words of somebody who can fix it."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mr_openapi.exceptions import ApiException


class Unavailable(RuntimeError):
    """The registry did not answer, or failed; the same request may succeed a moment later."""


def registry_error(error: Exception, url: str, with_token: bool) -> Exception:
    """What went wrong with a request.

    Args:
        error: The client's error.
        url: The registry's address.
        with_token: Whether a token was sent.

    Returns:
        A PermissionError, FileExistsError, `Unavailable` or RuntimeError; what is none of the client's, as it is.
    """
    from aiohttp import ClientError, ClientSSLError
    from mr_openapi.exceptions import ApiException
    from pydantic import ValidationError

    registry, kind = f"model registry at {url}", RuntimeError
    if isinstance(error, ApiException):
        return refusal(error, url, with_token)
    if isinstance(error, ClientSSLError):
        what = f"The certificate of the {registry} is not trusted ({error})"
        then = "name the file with the cluster's CA in SSL_CERT_FILE"
    elif isinstance(error, (ClientError, TimeoutError)):
        kind, what = Unavailable, f"The {registry} cannot be reached ({error or 'no answer within 60 s'})"
        then = "check the cluster domain, and that the registry is running"
    elif isinstance(error, json.JSONDecodeError) or (isinstance(error, ValidationError) and "value='<" in str(error)):
        what = f"{url} answered with something that is not a model registry's answer, e.g. a login page"
        then = "check the cluster domain, and that the address is the registry's REST route"
    elif isinstance(error, ValidationError):
        unread = " ".join(str(error).partition(" [type=")[0].split())
        what = f"The {registry} holds something that its client cannot read: {unread}"
        then = "change it in the registry"
    else:
        return error
    return kind(f"{what}. Next: {then}.")


def refusal(error: "ApiException", url: str, with_token: bool) -> Exception:
    """What an answer other than 2xx means; the rest is as in `registry_error`."""
    status, registry = int(error.status or 0), f"model registry at {url}"
    try:
        said = json.loads(error.body or "")["message"]
    except (ValueError, TypeError, KeyError):
        said = ""
    kind: type[Exception] = FileExistsError if status == 409 else Unavailable if status >= 500 else RuntimeError
    what = f"The {registry} answered {status}: {said}"
    if status in (401, 403):
        kind, sent = PermissionError, "the token, which may have expired" if with_token else "a request without a token"
        what = f"The {registry} refused {sent} ({status})"
        then = "get a fresh token (on OpenShift: oc whoami --show-token), or ask for access to this registry"
    elif said and status == 409:
        then = "choose a name that differs in more than case"
    elif said:
        then = "look at the registry's log, then run this again" if status >= 500 else "change what it refuses"
    elif status == 404:
        what = f"There is no model registry with API v1alpha3 at {url} (404)"
        then = (
            "check the cluster domain; if it is right, install the model-registry client that its version of "
            "OpenShift AI documents"
        )
    else:
        what = f"There is no {registry}: a page answers ({status})"
        then = "check the cluster domain; if it is right, ask for a model registry for this project"
    return kind(f"{what}. Next: {then}.")
