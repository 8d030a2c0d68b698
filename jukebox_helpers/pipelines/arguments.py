"""The arguments of a pipeline, checked before anything starts."""

from typing import Any
from urllib.parse import urlsplit

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.read import CompiledPipeline


def check_arguments(pipeline: CompiledPipeline, arguments: dict[str, Any]) -> None:
    """Refuse arguments that the pipeline does not know, the lack of one that it needs, addresses with a password."""
    check_addresses(arguments)
    known = pipeline.parameters
    unknown = sorted(set(arguments) - set(known))
    missing = sorted(
        name
        for name, parameter in known.items()
        if name not in arguments and "defaultValue" not in parameter and not parameter.get("isOptional")
    )
    if unknown or missing:
        problems = [f"does not know {', '.join(unknown)}"] * bool(unknown) + [f"needs {', '.join(missing)}"] * bool(
            missing
        )
        raise JukeboxError(
            f"The pipeline {pipeline.name!r} {' and '.join(problems)}.", f"Its parameters are: {', '.join(known)}."
        )


def check_addresses(arguments: dict[str, Any]) -> None:
    """Refuse an address with a user name or a password in it, without saying it."""
    for name, value in arguments.items():
        if isinstance(value, str) and "@" in urlsplit(value).netloc:
            raise JukeboxError(
                f"The argument {name} is an address with a user name or a password in it, which logs would keep.",
                "Give the address alone. For git the Secret git-auth has both; for data, load it to the bucket "
                "data, or name a file.",
            )
