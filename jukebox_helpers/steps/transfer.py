"""Bytes in and out of a pipeline: from any source to a file, from a file to the bucket. All of it travels.

What asks the S3 server raises what `s3.explained` says.
"""

import os
import re
from typing import TYPE_CHECKING

from jukebox_helpers.steps.constants import FETCH_BOUNDS
from jukebox_helpers.steps.messages import shown, without_secrets
from jukebox_helpers.steps.s3 import check_connection, explained, s3_client

if TYPE_CHECKING:
    from http.client import HTTPResponse


def fetch(source: str, target: str, named_by: str = "the pipeline's parameter dataset_url") -> int:
    """Copy a source of data to a file, whole or not at all, within `constants.FETCH_BOUNDS`.

    Args:
        source: ``https://…`` or ``s3://bucket/key``: what a pod can read, wherever it runs. ``http://`` on loopback
            only, where nobody else can change the bytes on their way, and tests have a server without a certificate.
        target: The file to write.
        named_by: What names the source, so that a message can say what to check.

    Returns:
        The number of bytes.

    Raises:
        ConnectionError: If the source cannot be reached, breaks off, is too slow or too large.
        ValueError: If the kind of address is unknown, or it holds a password.
    """
    address = without_secrets(source)
    seen = shown(address, 200)[1:-1]
    if address != re.split("[?#]", source)[0]:
        raise ValueError(
            f"The address of {seen} holds a user name or a password. "
            "Next: load it to the bucket data by other means, and give its s3:// address."
        )
    if is_safe(source):
        download(source, target, f"The source {seen}", named_by)
    elif source.startswith("s3://"):
        fetch_object(address, target)
    else:
        raise ValueError(
            f"The source {seen} is neither an https:// nor an s3:// address. "
            f"Next: check {named_by}; ./jukebox publish puts songs at an address."
        )
    return os.path.getsize(target)


def is_safe(address: str) -> bool:
    """Whether nobody can change what comes from a web address on its way: ``https://``, or loopback."""
    loopback = r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?([/?#]|$)"
    return re.match(f"https://|{loopback}", address, re.I) is not None


def fetch_object(address: str, target: str) -> None:
    """Copy the object at ``s3://bucket/key`` to a file."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not (bucket and key):
        raise ValueError(f"The address {address} names no object. Next: give s3://<bucket>/<object>.")
    client = s3_client(os.environ)
    with explained(client, address):
        client.download_file(bucket, key, target)


def download(source: str, target: str, named: str, named_by: str) -> None:
    """Bring what a web server has, all of it; the rest is as in `fetch`.

    Args:
        source: The address.
        target: The file to write.
        named: The source as messages say it.
        named_by: What names the source.
    """
    import http.client
    import signal
    import urllib.error
    import urllib.request

    class Redirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *known):  # type: ignore[no-untyped-def]
            if not is_safe(known[-1]):
                raise OSError("it redirects to an address that is not https://")
            return super().redirect_request(*known)

    def late(*_: object) -> None:
        raise OSError(f"it takes longer than {FETCH_BOUNDS['seconds']} s")

    # Even headers may never end.
    signal.signal(signal.SIGALRM, late)
    signal.alarm(FETCH_BOUNDS["seconds"])
    why, missing = "", 0
    try:
        with urllib.request.build_opener(Redirects).open(source, timeout=FETCH_BOUNDS["quiet"]) as answer:
            missing = receive(answer, target)
    except urllib.error.HTTPError as error:  # its words may hold the address that it redirects to
        why = f"HTTP Error {error.code}" + "; a signed address expires" * (error.code == 403)
    except (http.client.InvalidURL, ValueError, OverflowError):
        why = "it is not a valid address"
    except http.client.HTTPException as error:
        why = f"the answer breaks off, or is not HTTP: {shown(str(error), 120)}"
    except OSError as error:
        why = shown(str(error), 120)
    finally:
        signal.alarm(0)
    if why:
        raise ConnectionError(f"{named} cannot be read: {why}. Next: check {named_by}.")
    if missing > 0:
        size = os.path.getsize(target)
        raise ConnectionError(
            f"{named} broke off after {size:,} of {size + missing:,} bytes. Next: run the pipeline again."
        )


def receive(answer: "HTTPResponse", target: str) -> int:
    """Write what a server answers to a file, within `constants.FETCH_BOUNDS`.

    Args:
        answer: Its answer.
        target: The file.

    Returns:
        How many of the bytes that it announced did not come.

    Raises:
        OSError: If there are too many bytes, for the bounds or the disk, or they come too slowly.
    """
    import shutil
    import time

    began, size, whole = time.monotonic(), 0, answer.length or 0
    with open(target, "wb") as file:
        most = min(FETCH_BOUNDS["bytes"], shutil.disk_usage(target).free - FETCH_BOUNDS["spare"])
        while part := answer.read1(1 << 20):
            size += len(part)
            seconds = time.monotonic() - began
            if max(size, whole) > most:
                raise OSError(f"it has {max(size, whole):,} bytes or more; {most:,} are allowed, or fit on the disk")
            if seconds > FETCH_BOUNDS["quiet"] and size < FETCH_BOUNDS["rate"] * seconds:
                raise OSError(f"it is too slow: {size:,} bytes in {seconds:.0f} s")
            file.write(part)
    return whole - size


def own_bucket() -> str:
    """The connection's own bucket."""
    check_connection(os.environ, "AWS_S3_BUCKET")
    return os.environ["AWS_S3_BUCKET"]


def load_object(path: str, key: str, bucket: str) -> str:
    """Put a file into a bucket, whole or not at all.

    Returns:
        The object's address, ``s3://bucket/key``.
    """
    client, address = s3_client(os.environ), f"s3://{bucket}/{key}"
    with explained(client, address):
        client.upload_file(path, bucket, key)
    return address


def remove_object(address: str) -> None:
    """Delete the object at ``s3://bucket/key``; one that is gone already is fine."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    client = s3_client(os.environ)
    with explained(client, address):
        client.delete_object(Bucket=bucket, Key=key)
