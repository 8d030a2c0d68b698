"""Facts that travel from step to step in the metadata of artifacts.

A fact is a scalar, or a JSON text: ML Metadata hands ``{"a": 1}`` to the next step as ``{"struct": {"a": 1}}`` and a
list as ``{"list": […]}``, and an integer comes back as a float
(https://github.com/kubeflow/pipelines, ``backend/src/v2/metadata``).
"""

import json


def recorded(*metadata: dict) -> dict:
    """What steps recorded in the metadata of artifacts, without what a server adds to it.

    Args:
        metadata: The metadata of artifacts; of a fact that several have, the last one counts.

    Returns:
        The facts, whole numbers as integers.

    Raises:
        ValueError: If a fact is not a scalar.
    """
    facts = {key: value for one in metadata for key, value in one.items()}
    for added in ("display_name", "store_session_info"):
        facts.pop(added, None)
    for key, value in facts.items():
        if not isinstance(value, (str, int, float)):
            raise ValueError(
                f"The fact {key!r} is a {type(value).__name__}, which does not come through ML Metadata unchanged. "
                "Next: record a str, int, float or bool, or JSON text."
            )
        if isinstance(value, float) and value.is_integer():
            facts[key] = int(value)
    return facts


def read_json(text: str) -> dict:
    """The JSON object of a text; what a person registered by hand may be something else, and is kept as it is.

    Earlier versions of the kit registered an object as ML Metadata gave it back, inside ``{"struct": …}``.
    """
    try:
        value = json.loads(str(text))
    except ValueError:
        value = text
    if isinstance(value, dict) and value.keys() == {"struct"}:
        value = value["struct"]
    return value if isinstance(value, dict) else {"text": value}
