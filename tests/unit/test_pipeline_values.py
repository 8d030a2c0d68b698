"""Values and expressions as the driver of Kubeflow Pipelines has them."""

import hashlib

import pytest

from jukebox_sandbox.pipeline_server.runner import cache
from jukebox_sandbox.pipeline_server.runner.expressions import WrongExpression, condition, select
from jukebox_sandbox.pipeline_server.runner.values import WrongValue, fitting, go_json, normal, text_of, value_of


def parameter(name):
    return f"inputs.parameter_values['{name}']"


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        (f"int({parameter('a')}) == 2", {"a": 2}, True),
        (f"int({parameter('a')}) == 2", {"a": "2"}, True),
        (f"!(int({parameter('a')}) == 2) && int({parameter('a')}) == 3", {"a": 3}, True),
        (f"!(int({parameter('a')}) == 2) && int({parameter('a')}) == 3", {"a": 2}, False),
        (f"{parameter('a')} == 'x' || {parameter('b')} != true", {"a": "y", "b": False}, True),
        (f"double({parameter('a')}) >= 0.5", {"a": 0.25}, False),
        (f"{parameter('a')} == ''", {"a": ""}, True),
        (f"{parameter('a')} < 'b'", {"a": "a"}, True),
        # Values of two types are unlike each other, and have no order.
        (f"{parameter('a')} == 'true'", {"a": True}, False),
        (f"{parameter('a')} != 1", {"a": "1"}, True),
        (f"{parameter('a')} == 1", {"a": True}, False),
    ],
)
def test_a_condition_is_true_or_false(text, given, expected):
    assert condition(text)(given) is expected


@pytest.mark.parametrize(
    ("text", "given"),
    [
        (f"{parameter('a')} == 1", {}),
        (f"int({parameter('a')}) == 1", {"a": "one"}),
        (f"{parameter('a')} < 1", {"a": "1"}),
        (parameter("a"), {"a": "text"}),
        (f"{parameter('a')} > {parameter('b')}", {"a": [], "b": []}),
    ],
)
def test_a_condition_without_a_value_is_an_error(text, given):
    with pytest.raises(WrongExpression):
        condition(text)(given)


def test_a_selector_takes_fields_of_a_value_or_of_its_text():
    assert select({"a": {"b": 1}}, 'parseJson(string_value)["a"]["b"]') == 1
    assert select('{"a": "x"}', 'parseJson(string_value)["a"]') == "x"
    for value, selector in (({"a": 1}, 'parseJson(string_value)["b"]'), ("no", 'parseJson(string_value)["b"]')):
        with pytest.raises(WrongExpression):
            select(value, selector)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("a", "a"),
        (1.0, "1"),
        (0.1, "0.1"),
        (True, "true"),
        (1e-7, "0.0000001"),
        ([1.0, "<"], '[1,"\\u003c"]'),
    ],
)
def test_any_value_is_text_where_text_is_wanted(value, text):
    assert fitting("x", value, "STRING") == text_of(value) == text


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("{}", "STRUCT"), ("1", "NUMBER_INTEGER"), (1, "BOOLEAN"), (True, "NUMBER_INTEGER"), ({}, "LIST"),
        ([], "STRUCT"), (None, "NUMBER_DOUBLE"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(value, kind):
    with pytest.raises(WrongValue, match=r"type mismatch|got null"):
        fitting("x", value, kind)


def test_a_number_without_a_fraction_arrives_without_it():
    assert go_json(normal({"a": [2.0, 2.5], "b": True})) == '{"a":[2,2.5],"b":true}'


def test_an_output_file_is_read_as_its_type_says():
    read = [value_of(*one) for one in (("3\n", "NUMBER_INTEGER"), ("t", "BOOLEAN"), (" 1.5", "NUMBER_DOUBLE"))]
    assert read == [3, True, 1.5] and value_of(" a\n", "STRING") == " a\n" and value_of("[1]", "LIST") == [1]
    for text, kind in (("3.5", "NUMBER_INTEGER"), ("yes", "BOOLEAN"), ("[1]", "STRUCT"), ("{", "STRUCT")):
        with pytest.raises(WrongValue):
            value_of(text, kind)


TASK = {"componentRef": {"name": "comp-a"}, "cachingOptions": {"enableCache": True}}
COMPONENT = {"outputDefinitions": {"artifacts": {"o": {"artifactType": {"schemaTitle": "system.Dataset"}}},
                                   "parameters": {"n": {"parameterType": "STRING"}}}}  # fmt: skip
CONTAINER = {"image": "i", "command": ["sh"], "args": ["{{$}}"]}
INPUTS = {"parameterValues": {"x": 1.0}, "artifacts": {"d": {"artifacts": [{"name": "7", "uri": "s3://a"}]}}}


def test_the_cache_key_is_that_of_the_server():
    """The JSON that `GenerateCacheKey` and `GenerateFingerPrint` make, with the pipeline's name before it."""
    text = (
        '{"containerSpec":{"cmdArgs":["sh","{{$}}"],"image":"i"},"inputArtifactNames":{"d":{"artifactNames":["7"]}},'
        '"inputParameterValues":{"x":1},"outputArtifactsSpec":{"o":{"name":"o","type":{"schemaTitle":"system.Dataset"}}},'
        '"outputParametersSpec":{"n":"STRING"}}'
    )
    key = cache.fingerprint("p", TASK, COMPONENT, CONTAINER, INPUTS, [])
    assert key == hashlib.sha256(f"p\0{text}".encode()).hexdigest()


def test_the_cache_key_follows_what_counts_and_nothing_else():
    def key(pipeline="p", container=CONTAINER, inputs=INPUTS, claims=(), task=TASK):
        return cache.fingerprint(pipeline, task, COMPONENT, container, inputs, list(claims))

    moved = {**INPUTS, "artifacts": {"d": {"artifacts": [{"name": "7", "uri": "s3://elsewhere"}]}}}
    other = {**INPUTS, "artifacts": {"d": {"artifacts": [{"name": "8", "uri": "s3://a"}]}}}
    assert key() == key(inputs=moved)
    different = {key(), key("q"), key(inputs=other), key(container={**CONTAINER, "image": "j"}), key(claims=["c"]),
                 key(task={**TASK, "cachingOptions": {"enableCache": True, "cacheKey": "k"}})}  # fmt: skip
    assert len(different) == 6
    assert key(task={**TASK, "cachingOptions": {}}) == ""
