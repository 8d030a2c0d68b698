"""The sandbox's model registry answers as the real server's source does: by its client, and by bare requests."""

import base64
import json
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from registry_server import TOKEN, RegistryServer

ROOT = "/api/model_registry/v1alpha3"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def server():
    server = RegistryServer()
    yield server
    server.close()


@pytest.fixture
def ask(server):
    """Sends a request: its status and its JSON."""

    def ask(method, path, body=None, **options):
        data = {"json": body} if isinstance(body, dict) else {"data": body} if body is not None else {}
        answer = server.client.open(ROOT + path, method=method, headers=AUTHORIZED, **data, **options)
        return answer.status_code, answer.get_json(silent=True)

    return ask


def number(value):
    return {"int_value": value, "metadataType": "MetadataIntValue"}


def named(answer):
    return [item["name"] for item in answer[1]["items"]]


@pytest.mark.parametrize("first", ["a_b", "axb"])
def test_a_name_is_looked_up_with_like(ask, first):
    """As https://github.com/kubeflow/model-registry/blob/main/internal/db/service/registered_model.go does."""
    ask("POST", "/registered_models", {"name": first})
    assert ask("GET", "/registered_model?name=a_b")[1]["name"] == first
    ask("POST", "/registered_models", {"name": "axb" if first == "a_b" else "a_b"})
    assert ask("GET", "/registered_model?name=a_b") == (
        404,
        {"code": "Not Found", "message": "multiple registered models found for name=a_b, externalId=: not found"},
    )
    assert ask("GET", "/registered_model?name=axb")[1]["name"] == "axb"
    assert ask("GET", "/registered_model?name=a%25b")[0] == 404
    assert ask("GET", "/registered_model?name=a%5C_b")[1]["name"] == "a_b"
    for version in ("v_1", "vx1"):
        ask("POST", "/model_versions", {"name": version, "registeredModelId": "1"})
    assert ask("GET", "/model_version?name=v_1&parentResourceId=1")[0] == 404
    assert ask("GET", "/model_version?name=v_1&parentResourceId=2")[0] == 404
    assert ask("GET", "/model_version?name=vx1&parentResourceId=1")[1]["name"] == "vx1"


def test_a_name_is_unique_whatever_its_case_and_only_within_its_parent(ask):
    for name in ("m", "n"):
        assert ask("POST", "/registered_models", {"name": name})[0] == 201
    conflict = {"code": "Conflict", "message": "registered model with name M already exists: conflict"}
    assert ask("POST", "/registered_models", {"name": "M"}) == (409, conflict)
    for model in ("1", "2"):
        assert ask("POST", "/model_versions", {"name": "v", "registeredModelId": model})[0] == 201
        assert ask("POST", "/model_versions", {"name": "v", "registeredModelId": model})[0] == 409
    for _ in range(2):
        status, _ = ask("POST", "/model_versions/3/artifacts", {"name": "f", "artifactType": "model-artifact"})
    assert status == 409
    assert ask("POST", "/registered_models", {"name": "x", "externalId": "e"})[0] == 201
    assert ask("POST", "/model_versions", {"name": "x", "registeredModelId": "1", "externalId": "e"})[0] == 409
    assert ask("GET", "/registered_model?externalId=e")[1]["name"] == "x"


@pytest.mark.parametrize(
    ("value", "status"),
    [("2147483647", 201), ("-2147483648", 201), ("2147483648", 400), ("5e3", 400), ("", 400), ("9" * 5000, 400)],
)
def test_integers_have_32_bits(ask, value, status):
    made = ask("POST", "/registered_models", {"name": "m", "customProperties": {"rows": number(value)}})
    assert made[0] == status
    if status == 201:
        assert ask("GET", "/registered_models/1")[1]["customProperties"] == {"rows": number(value)}
    else:
        out = "value out of range" if value[:1].isdigit() and value.isdigit() else "invalid syntax"
        assert made[1]["code"] == "Bad Request" and f"{out} for key rows: bad request" in made[1]["message"]
        assert ask("GET", "/registered_models")[1]["size"] == 0


def test_values_come_back_as_go_writes_them(server, ask):
    struct = base64.b64encode(b'{"b": 1.0, "a": [2, "\\u00fc"]}').decode()
    sent = {
        "whole": {"double_value": 1.0, "metadataType": "MetadataDoubleValue"},
        "huge": {"double_value": 1e300, "metadataType": "MetadataDoubleValue"},
        "half": {"double_value": 0.5, "metadataType": "MetadataDoubleValue"},
        "yes": {"bool_value": True, "metadataType": "MetadataBoolValue"},
        "empty": {"string_value": "", "metadataType": "MetadataStringValue"},
        "struct": {"struct_value": struct, "metadataType": "MetadataStructValue"},
    }
    assert ask("POST", "/registered_models", {"name": "m", "customProperties": sent})[0] == 201
    text = server.client.get(ROOT + "/registered_models/1", headers=AUTHORIZED).get_data(as_text=True)
    assert '"double_value": 1,' in text and '"double_value": 0.5' in text and ": 1e+300" in text
    kept = json.loads(text)["customProperties"]
    assert kept == sent | {"struct": sent["struct"] | {"struct_value": '{"a":[2,"ü"],"b":1}'}}


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/registered_models", {"name": "x", "colour": "red"}, 400, 'json: unknown field "colour"'),
        ("/registered_models", {"owner": "me"}, 422, "required field 'name' is zero value."),
        ("/registered_models", {"name": ""}, 422, "required field 'name' is zero value."),
        ("/registered_models", {"name": 1}, 400, None),
        ("/registered_models", {"name": "x" * 256}, 400, None),
        ("/registered_models", {"name": "x", "state": "ALIVE"}, 400, None),
        ("/registered_models", {"name": "x", "customProperties": {"a": 1}}, 400, None),
        ("/registered_models", {"name": "x", "customProperties": ["a"]}, 400, None),
        ("/registered_models", {"name": "x", "customProperties": {"a": {"int_value": "1"}}}, 400, None),
        (
            "/registered_models",
            {"name": "x", "customProperties": {"a": {"metadataType": "MetadataIntValue"}}},
            400,
            None,
        ),
        ("/registered_models", b'{"name": "x", "description": NaN}', 400, None),
        ("/registered_models", b'{"name": "x\\u0000"}', 400, "null bytes are not allowed"),
        ("/registered_models", b"[]", 400, None),
        ("/registered_models", b"{", 400, None),
        ("/registered_models", b"[" * 100_000, 400, None),
        ("/model_versions", {"name": "v"}, 422, "required field 'registeredModelId' is zero value."),
        (
            "/model_versions",
            {"name": "v", "registeredModelId": "9"},
            404,
            "no registered model found for id 9: not found",
        ),
        ("/model_versions", {"name": "v", "registeredModelId": "x"}, 400, None),
        ("/model_versions/9/artifacts", {"name": "f"}, 404, "no model version found for id 9: not found"),
        ("/model_versions/1/artifacts", {"name": "f"}, 404, "no model version found for id 1: not found"),
        ("/model_versions/2/artifacts", {"name": "f", "artifactType": "metric"}, 400, None),
        ("/model_versions/2/artifacts", {"name": "f", "artifactType": []}, 400, None),
        ("/experiments", {"name": "x"}, 501, "the sandbox's registry has no experiments"),
    ],
)
def test_what_the_definition_does_not_allow_is_refused_and_nothing_is_kept(ask, path, body, status, message):
    ask("POST", "/registered_models", {"name": "m"})
    ask("POST", "/model_versions", {"name": "v0", "registeredModelId": "1"})
    answered, error = ask("POST", path, body)
    assert (answered, set(error)) == (status, {"code", "message"})
    assert message in (None, error["message"])
    assert (error["code"] == "Bad Request") == (status in (400, 422))
    assert [ask("GET", f"/{kind}")[1]["size"] for kind in ("registered_models", "model_versions", "artifacts")] == [
        1,
        1,
        0,
    ]


@pytest.mark.parametrize(("number", "words"), [("x", "invalid syntax"), ("3000000000", "value out of range")])
def test_an_id_is_a_number_of_32_bits(ask, number, words):
    said = f'invalid registered model ID: strconv.ParseInt: parsing "{number}": {words}: bad request'
    assert ask("GET", f"/registered_models/{number}") == (400, {"code": "Bad Request", "message": said})
    assert ask("PATCH", f"/registered_models/{number}", {"description": "d"})[0] == 400


def test_a_change_touches_what_it_names(ask):
    made = ask("POST", "/registered_models", {"name": "m", "owner": "o", "customProperties": {"a": number("1")}})[1]
    changed = ask("PATCH", "/registered_models/1", {"description": "d", "state": "ARCHIVED"})[1]
    assert {key: value for key, value in changed.items() if made.get(key) != value and "Time" not in key} == {
        "description": "d",
        "state": "ARCHIVED",
    }
    changed = ask("PATCH", "/registered_models/1", {"customProperties": {"b": number("2")}})[1]
    assert (changed["state"], changed["customProperties"]) == ("ARCHIVED", {"b": number("2")})
    assert changed["createTimeSinceEpoch"] == made["createTimeSinceEpoch"]
    assert int(changed["lastUpdateTimeSinceEpoch"]) >= int(made["lastUpdateTimeSinceEpoch"])
    assert ask("PATCH", "/registered_models/1", {"name": "n"})[0] == 400  # a name never changes
    assert ask("PATCH", "/registered_models/9", {"description": "d"})[0] == 404
    assert ask("PATCH", "/model_versions/1", {"description": "d"})[0] == 404
    assert ask("GET", "/registered_models/1")[1] == changed


def test_an_artifact_can_be_made_found_changed_and_listed(ask):
    ask("POST", "/registered_models", {"name": "m"})
    ask("POST", "/registered_models/1/versions", {"name": "v", "registeredModelId": "1"})
    file = {"name": "f", "uri": "s3://m/f", "artifactType": "model-artifact"}
    made = ask("POST", "/model_versions/2/artifacts", file)
    assert made[0] == 201 and made[1]["state"] == "UNKNOWN"
    assert ask("POST", "/model_versions/2/artifacts", {"artifactType": "doc-artifact", "uri": "https://d"})[0] == 201
    again = ask("POST", "/model_versions/2/artifacts", file | {"id": made[1]["id"], "uri": "s3://m/g"})
    assert again[0] == 200 and again[1]["uri"] == "s3://m/g"
    assert ask("PATCH", "/model_artifacts/3", {"modelFormatName": "onnx"})[1]["uri"] == "s3://m/g"
    found = ask("GET", "/model_artifact?name=f&parentResourceId=2")[1]
    assert found == ask("GET", "/artifacts/3")[1] == ask("GET", "/model_artifacts/3")[1]
    assert (found["modelFormatName"], found["artifactType"]) == ("onnx", "model-artifact")
    kinds = [item["artifactType"] for item in ask("GET", "/model_versions/2/artifacts")[1]["items"]]
    assert kinds == ["model-artifact", "doc-artifact"]
    assert named(ask("GET", "/model_versions/2/artifacts?artifactType=model-artifact")) == ["f"]
    assert named(ask("GET", "/model_artifacts")) == ["f"] and ask("GET", "/model_artifacts/4")[0] == 404


@pytest.mark.parametrize("order", ["", "orderBy=ID", "orderBy=CREATE_TIME", "orderBy=LAST_UPDATE_TIME", "orderBy=odd"])
def test_a_list_comes_in_pages_whatever_is_added_in_between(ask, order):
    for name in string.ascii_lowercase[:5]:
        ask("POST", "/registered_models", {"name": name})
    for direction, expected in (("ASC", "abcdex"), ("DESC", "xedcba")):
        seen, token = [], ""
        while True:
            page = ask("GET", f"/registered_models?pageSize=2&sortOrder={direction}&{order}&nextPageToken={token}")[1]
            seen += [item["name"] for item in page["items"]]
            token = page["nextPageToken"]
            ask("POST", "/registered_models", {"name": "x"})
            if not token:
                break
        assert "".join(seen) == expected
    whole = ask("GET", "/registered_models")[1]
    assert (whole["size"], whole["pageSize"], whole["nextPageToken"]) == (6, 0, "")


@pytest.mark.parametrize("query", ["pageSize=many", "pageSize=3000000000", "nextPageToken=%21", "nextPageToken=eA=="])
def test_a_list_option_that_cannot_be_read_is_refused(ask, query):
    assert ask("GET", f"/registered_models?{query}")[0] == 400


def test_a_request_that_is_too_large_is_refused(ask):
    status, error = ask("POST", "/registered_models", {"name": "m", "description": "x" * (5 << 20)})
    assert (status, error["code"]) == (413, "Request Entity Too Large")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["1", "model-artifact", "LIVE"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    [
        "name",
        "registeredModelId",
        "customProperties",
        "externalId",
        "state",
        "artifactType",
        "id",
        "uri",
        "tasks",
        "odd",
    ]
)
PROPERTIES = st.dictionaries(
    st.text(max_size=5),
    st.dictionaries(st.sampled_from(["metadataType", "int_value", "double_value", "struct_value"]), VALUES)
    | st.builds(number, st.text(max_size=12))
    | VALUES,
    max_size=2,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["GET", "POST", "PATCH"]),
    st.sampled_from(
        [
            *("/registered_models", "/registered_models/1", "/registered_model", "/registered_models/1/versions"),
            *("/model_versions", "/model_versions/2", "/model_version", "/model_versions/2/artifacts"),
            *("/artifacts", "/artifacts/3", "/artifact", "/model_artifacts/3"),
        ]
    ),
    st.dictionaries(
        st.sampled_from(
            ["name", "externalId", "parentResourceId", "pageSize", "nextPageToken", "orderBy", "artifactType"]
        ),
        st.text(max_size=8) | st.sampled_from(["1", "2", "_", "%"]),
        max_size=3,
    ),
    st.dictionaries(FIELDS, VALUES, max_size=4).flatmap(
        lambda fields: st.just(fields) | PROPERTIES.map(lambda properties: fields | {"customProperties": properties})
    ),
)
def test_no_request_makes_it_fail(server, ask, method, path, query, fields):
    ask("POST", "/registered_models", {"name": "m"})
    ask("POST", "/model_versions", {"name": "v", "registeredModelId": "1"})
    ask("POST", "/model_versions/2/artifacts", {"name": "f"})
    status, answer = ask(method, path, json.dumps(fields), query_string=query)
    assert (status < 500 and answer is not None) or status in (404, 405, 501)
    # Whatever was kept can be read.
    for kind in ("registered_models", "model_versions", "artifacts"):
        assert ask("GET", f"/{kind}")[0] == 200
