"""The sandbox's own client of its S3 server, and one explanation of its errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jukebox_sandbox.errors import SandboxError

WRONG_CREDENTIALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "AuthorizationHeaderMalformed"}


def client(connection: dict[str, str]) -> Any:
    """Make an S3 client.

    Args:
        connection: ``AWS_S3_ENDPOINT``, ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_DEFAULT_REGION``.

    Returns:
        A boto3 client: path-style addresses, short timeouts, few retries.

    Raises:
        SandboxError: If the endpoint is not a URL.
    """
    import boto3
    from botocore.config import Config

    def refuse_page(response_dict: dict[str, Any], operation_model: Any, **_: Any) -> None:
        # The client would read a page as a list without buckets. An object may be a page.
        is_page = "html" in response_dict["headers"].get("Content-Type", "")
        is_object = operation_model.name in ("GetObject", "HeadObject") and response_dict["status_code"] < 300
        if is_page and not is_object:
            raise SandboxError(
                f"{connection['AWS_S3_ENDPOINT']} answers with a page, and not as an S3 server does.",
                "Check AWS_S3_ENDPOINT: it is the address of the server, not that of its console.",
            )

    try:
        made = boto3.client(
            "s3",
            endpoint_url=connection["AWS_S3_ENDPOINT"],
            aws_access_key_id=connection["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=connection["AWS_SECRET_ACCESS_KEY"],
            region_name=connection.get("AWS_DEFAULT_REGION") or "us-east-1",
            config=Config(
                s3={"addressing_style": "path"},
                connect_timeout=3,
                read_timeout=30,
                retries={"mode": "standard", "total_max_attempts": 2},
            ),
        )
    except ValueError as error:
        raise SandboxError(
            f"AWS_S3_ENDPOINT is not an address: {error}.", "It begins with http:// or https://."
        ) from None
    made.meta.events.register("before-parse.s3", refuse_page)
    return made


@contextmanager
def explained(made: Any) -> Iterator[None]:
    """Turn what boto3 raises inside the block into one clear message.

    Args:
        made: The S3 client that is used in the block.

    Yields:
        Nothing.

    Raises:
        SandboxError: If the server cannot be reached, refuses the credentials, or answers with an error.
    """
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError, SSLError

    endpoint = made.meta.endpoint_url
    try:
        try:
            yield
        except S3UploadFailedError as error:  # it wraps what the server has answered
            raise error.__context__ or error from None
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in WRONG_CREDENTIALS:
            raise SandboxError(
                f"The S3 server {endpoint} refuses these credentials ({code}) for {error.operation_name}.",
                "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
            ) from error
        raise SandboxError(
            f"The S3 server {endpoint} answers: {error}",
            "Check AWS_S3_ENDPOINT, and the server itself: whether its disk is full, what its log says.",
        ) from error
    except SSLError as error:
        raise SandboxError(
            f"The certificate of the S3 server {endpoint} is not trusted: {error}",
            "Name the PEM file with its CA in the variable AWS_CA_BUNDLE.",
        ) from error
    except BotoCoreError as error:
        raise SandboxError(
            f"The S3 server {endpoint} cannot be reached: {error}", "Check AWS_S3_ENDPOINT, and that the server runs."
        ) from error


def list_buckets(made: Any) -> list[str]:
    """The names of the server's buckets, sorted."""
    return sorted(bucket["Name"] for bucket in made.list_buckets().get("Buckets", []))
