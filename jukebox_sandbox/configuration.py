"""What a sandbox holds: ``sandbox.toml`` of the checkout that it serves."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jukebox_sandbox.errors import SandboxError


@dataclass(frozen=True)
class Repository:
    """A git repository of the sandbox.

    Attributes:
        name: Its name.
        seed: The folder that it begins as.
        description: What its page says.
        on_push: The command that a push to ``main`` starts; ``{revision}`` in it stands for the commit.
        pipeline_run: What the cluster calls the run that a push starts, without the commit at its end.
        status: The context of the commit status that says what became of the command; none is posted where it is empty.
    """

    name: str
    seed: Path
    description: str = ""
    on_push: tuple[str, ...] = ()
    status: str = ""
    pipeline_run: str = ""


@dataclass(frozen=True)
class ModelVersions:
    """What the pages say of a model version.

    Attributes:
        data_version: The property that names the data it was trained on.
        first: The properties that are shown before the others, in this order.
        doubtful: What a value begins with that says that something was made up.
    """

    data_version: str = ""
    first: tuple[str, ...] = ()
    doubtful: str = ""


@dataclass(frozen=True)
class Configuration:
    """What a sandbox holds.

    Attributes:
        file: The ``sandbox.toml``.
        checkout: The folder that the sandbox serves: where commands run, and what repositories begin as.
        repositories: The repositories by name.
        buckets_repository: The repository that lists the buckets.
        buckets_file: The file in it.
        steps_environment: What every step of a pipeline has in its environment; ``{base_url}`` in a value stands for
            the sandbox's address.
        failure_mark: What the line of a step's log begins with that says why it failed; empty where none does.
        hints: Values of pipeline parameters to offer, by the parameter's name; ``{base_url}`` and ``{user}`` in a value
            stand for the sandbox's.
        links: Addresses of what a model version's properties name, by the property: templates of Jinja with ``value``
            and ``user``.
        model_versions: What the pages say of a model version.
    """

    file: Path
    checkout: Path
    repositories: dict[str, Repository]
    buckets_repository: str
    buckets_file: str
    steps_environment: dict[str, str] = field(default_factory=dict)
    failure_mark: str = ""
    hints: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    model_versions: ModelVersions = ModelVersions()


def read_configuration(file: Path) -> Configuration:
    """Read a ``sandbox.toml``.

    Args:
        file: The file.

    Returns:
        What it says.

    Raises:
        SandboxError: If there is no such file, or it is not a configuration.
    """
    try:
        with open(file, "rb") as text:
            known = tomllib.load(text)
        checkout = (file.parent / known.get("checkout", ".")).resolve()
        repositories = {
            one["name"]: Repository(
                one["name"],
                (checkout / one["seed"]).resolve(),
                one.get("description", ""),
                tuple(one.get("on_push", ())),
                one.get("status", ""),
                one.get("pipeline_run", ""),
            )
            for one in known["repository"]
        }
        buckets = known["buckets"]
        steps, versions = known.get("steps", {}), known.get("model_versions", {})
        configuration = Configuration(
            file.resolve(),
            checkout,
            repositories,
            buckets["repository"],
            buckets["file"],
            _texts(steps.get("environment", {})),
            str(steps.get("failure_mark", "")),
            _texts(known.get("hints", {})),
            _texts(known.get("links", {})),
            ModelVersions(
                str(versions.get("data_version", "")),
                tuple(map(str, versions.get("first", ()))),
                str(versions.get("doubtful", "")),
            ),
        )
    except FileNotFoundError:
        raise SandboxError(f"There is no file {file}, which says what the sandbox holds.", "Name one.") from None
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise SandboxError(
            f"{file} is not the configuration of a sandbox: {type(error).__name__}: {error}.",
            "It needs [[repository]] tables with name and seed, and a table [buckets] with repository and file.",
        ) from None
    if configuration.buckets_repository not in repositories:
        raise SandboxError(
            f"{file}: [buckets] names the repository {configuration.buckets_repository!r}, and there is none.",
            f"The repositories are: {', '.join(repositories)}.",
        )
    return configuration


def _texts(table: dict[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in table.items()}
