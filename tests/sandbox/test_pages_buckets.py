"""The pages of buckets, over the sandbox's own S3 server."""

import contextlib
from urllib.parse import quote

import pytest
import requests
from bs4 import BeautifulSoup
from waiting import DEADLINE

from jukebox_helpers import sandbox as program
from jukebox_helpers.steps.s3 import s3_client

HOSTILE = "folder/<script>alert(1)</script> &+?#.txt"


@pytest.fixture(scope="module")
def browse(sandbox):
    """Asks for a page as a browser that has logged in: status and page."""
    browser = requests.Session()
    browser.get(program.status(sandbox.state)["dashboard"], timeout=DEADLINE)

    def ask(path, status=200):
        answer = browser.get(f"{sandbox.cluster_domain}/dashboard/buckets{path}", timeout=DEADLINE)
        assert answer.status_code == status, answer.text[:1000]
        return answer

    return ask


@pytest.fixture(scope="module")
def bucket(sandbox):
    """A bucket with 203 objects: one of a hostile name, one that is a page."""
    client = s3_client(sandbox.secret("s3"))
    client.create_bucket(Bucket="of-the-test")
    keys = [f"many/{number:03}" for number in range(201)]
    for key in (*keys, HOSTILE):
        client.put_object(Bucket="of-the-test", Key=key, Body=key.encode())
    client.put_object(Bucket="of-the-test", Key="page", Body=b"<p>a page</p>", ContentType="text/html")
    yield "of-the-test"
    with contextlib.suppress(Exception):
        for key in (*keys, HOSTILE, "page"):
            client.delete_object(Bucket="of-the-test", Key=key)
        client.delete_bucket(Bucket="of-the-test")


def rows(answer):
    return BeautifulSoup(answer.text, "html.parser").select("tbody tr")


def test_the_list_says_how_much_each_bucket_holds(browse, bucket):
    (row,) = [one for one in rows(browse("")) if one.th.text == bucket]
    assert row.td.text == "203"


def test_a_long_bucket_has_pages_and_a_filter(browse, bucket):
    first = browse(f"/{bucket}")
    more = BeautifulSoup(first.text, "html.parser").find("a", string="More objects")["href"]
    second = browse(more.removeprefix("/dashboard/buckets"))
    keys = [row.th.text for row in (*rows(first), *rows(second))]
    assert len(rows(first)) == 200 and len(keys) == len(set(keys)) == 203
    assert [row.th.text for row in rows(browse(f"/{bucket}?prefix=many/19"))] == [f"many/{n}" for n in range(190, 200)]
    assert "nobody" in rows(browse(f"/{bucket}?prefix=page"))[0].text


def test_an_object_is_shown_and_its_bytes_come_as_they_are(browse, bucket):
    for key, content in ((HOSTILE, HOSTILE.encode()), ("page", b"<p>a page</p>")):
        shown = browse(f"/{bucket}/object?key={quote(key)}")
        page = BeautifulSoup(shown.text, "html.parser")
        assert f"s3://{bucket}/{key}" in page.text and not page.select("main script")
        got = browse(page.find("a", string="Download")["href"].removeprefix("/dashboard/buckets"))
        assert got.content == content
        assert got.headers["Content-Type"] == "application/octet-stream"
        assert got.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "path",
    ["/nothing-here", "/of-the-test/object?key=nothing", "/of-the-test/object", "/of-the-test/download?key=x", "/A_b"],
)
def test_what_is_not_there_is_said_in_a_sentence(browse, bucket, path):
    assert "not found" in BeautifulSoup(browse(path, 404).text, "html.parser").select_one(".problem").text
