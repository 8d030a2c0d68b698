"""What messages say on a laptop, where there are no pods, tokens that expire, roles or cluster domains."""

import pytest
from kfp_server_api import ApiException
from urllib3.exceptions import ReadTimeoutError

from jukebox_helpers.cli.laptop import push_line
from jukebox_helpers.pipelines.connection import RESTART, refusal, unreachable

LAPTOP, CLUSTER = "http://127.0.0.1:8080", "https://ds-pipeline-dspa.user1-toolings.svc:8443"
OF_A_CLUSTER = ("workbench", "role", "pods", "OpenShift")


@pytest.mark.parametrize("kind", ["application/json", "text/html"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_a_refusal_on_a_laptop_names_nothing_of_a_cluster(status, kind):
    error = ApiException(status, "told to fail")
    error.headers = {"Content-Type": kind}
    said = str(refusal(error, LAPTOP, "user1-toolings"))
    assert not any(word in said for word in OF_A_CLUSTER)
    if status in (401, 500):
        assert "html" in kind or RESTART in said
        assert RESTART not in str(refusal(error, CLUSTER, "user1-toolings"))


def test_a_server_that_is_late():
    late = ReadTimeoutError(None, "/", "late")
    assert "pods" in str(unreachable(late, CLUSTER, "x")) and "pods" not in str(unreachable(late, LAPTOP, "x"))


def test_a_push_says_what_to_do_next_in_a_line_of_its_own():
    event = {"repository": "jukebox", "revision": "0123456789abcdef", "state": "done", "detail": "", "status": "error"}
    why = "train.py does not compile: SyntaxError\n  a line\n  of Python. Next: Correct the file, then push again."
    assert push_line({**event, "description": why}) == (
        "jukebox 0123456789 error: train.py does not compile: SyntaxError\n  Next: Correct the file, then push again."
    )
    assert push_line({**event, "description": "Run x has succeeded."}) == (
        "jukebox 0123456789 error: Run x has succeeded."
    )
    assert push_line({**event, "description": "", "status": ""}) == "jukebox 0123456789 done"
