"""Buckets as code, on a real S3 server."""

import pytest

from jukebox_helpers.settings import Settings
from jukebox_sandbox import buckets
from jukebox_sandbox import s3 as sandbox_s3
from jukebox_sandbox.errors import SandboxError


def test_apply_creates_what_is_missing_changes_nothing_again_and_deletes_nothing(sandbox: Settings) -> None:
    client = sandbox_s3.client(sandbox.secret("s3"))
    names = ["apply-one", "apply-two"]

    first = {change.bucket: change.state for change in buckets.apply(names, client)}
    client.put_object(Bucket="apply-one", Key="song", Body=b"la")
    second = {change.bucket: change.state for change in buckets.apply(names, client)}
    fewer = buckets.apply(["apply-two"], client)

    assert [first[name] for name in names] == ["created", "created"]
    assert [second[name] for name in names] == ["unchanged", "unchanged"]
    assert buckets.Change("apply-one", "kept") in fewer
    assert "apply-one: kept, not in the file" in map(str, fewer)
    assert client.get_object(Bucket="apply-one", Key="song")["Body"].read() == b"la"


def test_wrong_credentials_are_named_and_create_nothing(sandbox: Settings) -> None:
    right = sandbox.secret("s3")
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        with pytest.raises(SandboxError, match="refuses these credentials") as caught:
            buckets.apply(["never-made"], sandbox_s3.client({**right, key: "wrong"}))
        assert right["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)
    assert "never-made" not in sandbox_s3.list_buckets(sandbox_s3.client(right))
