"""The packages of a step: what it declares must be here, and what it does not declare it cannot import."""

import functools
import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from jukebox_sandbox.errors import SandboxError

WITH_VALUE = ("--index-url", "--extra-index-url", "--trusted-host", "-i", "--find-links", "-f")
"""Options of ``pip install`` that a value follows."""
IN_EVERY_IMAGE = ("kfp", "pip")
"""What every step has beside the standard library: it is started by kfp, in an image of Python."""


@dataclass(frozen=True)
class Declared:
    """What one ``pip install`` of a step's command names.

    Attributes:
        requirement: The package and its versions.
        alone: Whether it comes without its dependencies, as kfp does.
    """

    requirement: Requirement
    alone: bool


def declared(step: str, command: list[str]) -> list[Declared]:
    """The packages that a step's command installs.

    Args:
        step: The step's name, for the message.
        command: The command of its container.

    Returns:
        The packages that this interpreter would install; markers are evaluated.

    Raises:
        SandboxError: If one is not a name with versions, e.g. an address or a folder.
    """
    import shlex

    found = []
    for script in (part for part in command[:-1] if "pip install" in part):
        for install in script.split("pip install ")[1:]:
            words = shlex.split(install.split("&&")[0])
            names, alone = _names(words)
            for name in names:
                try:
                    requirement = Requirement(name)
                    if requirement.url:
                        raise InvalidRequirement("an address")
                except InvalidRequirement:
                    raise SandboxError(
                        f"Step {step!r} installs {name!r}, which is not the name of a package: "
                        "this machine cannot tell whether it has it.",
                        "Name a package and its version in packages_to_install, or run the pipeline in a cluster.",
                    ) from None
                if not requirement.marker or requirement.marker.evaluate():
                    found.append(Declared(requirement, alone))
    return found


def _names(words: list[str]) -> tuple[list[str], bool]:
    names: list[str] = []
    skip = False
    for word in words:
        if not skip and not word.startswith("-"):
            names.append(word)
        skip = word in WITH_VALUE
    return names, "--no-deps" in words


def check_packages(step: str, packages: Iterable[Declared]) -> None:
    """Check that this environment has what a step declares.

    Args:
        step: The step's name, for the message.
        packages: What it declares.

    Raises:
        SandboxError: If a package is missing or has another version, by name.
    """
    for package in packages:
        wanted = package.requirement
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            version = ""
        # The library of the compiler may be a patch release away from the one that runs here.
        minor = canonicalize_name(wanted.name) == "kfp" and version and _same_minor(wanted, version)
        if not version or not (minor or wanted.specifier.contains(version, prereleases=True)):
            raise SandboxError(
                f"Step {step!r} declares {wanted}, but this environment has {version or 'no version'} of it.",
                "Run the pipeline with the packages of requirements.txt; after a change of requirements.txt, "
                "compile it again.",
            )


def _same_minor(wanted: Requirement, version: str) -> bool:
    pins = [one.version for one in wanted.specifier if one.operator == "=="]
    return bool(pins) and all(pin.split(".")[:2] == version.split(".")[:2] for pin in pins)


def closure(packages: Iterable[Declared]) -> set[str]:
    """The distributions that come with some packages, by canonical name.

    Args:
        packages: What a step declares.

    Returns:
        They, and what they depend on in this environment.
    """
    found: set[str] = set()
    ahead = [(one.requirement, one.alone) for one in packages]
    seen: set[tuple[str, frozenset[str]]] = set()
    while ahead:
        requirement, alone = ahead.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        found.add(name)
        if alone:
            continue
        for line in _requires(name):
            needed = Requirement(line)
            extras = [{"extra": extra} for extra in requirement.extras] or [{"extra": ""}]
            if not needed.marker or any(needed.marker.evaluate(extra) for extra in extras):
                ahead.append((needed, False))
    return found


@functools.cache
def _requires(name: str) -> tuple[str, ...]:
    try:
        return tuple(metadata.requires(name) or ())
    except metadata.PackageNotFoundError:
        return ()


@functools.cache
def owners() -> dict[str, frozenset[str]]:
    """Which distributions bring each importable name of this environment, ``a`` and ``a.b``, by canonical name."""
    found: dict[str, set[str]] = defaultdict(set)
    for distribution in metadata.distributions():
        owner = canonicalize_name(distribution.metadata["Name"])
        for top in (distribution.read_text("top_level.txt") or "").split():
            found[top].add(owner)
        for file in distribution.files or ():
            if file.suffix in (".py", ".so", ".pyd") and ".." not in file.parts:
                parts = [*file.parts[:-1], file.name.split(".")[0]][:2]
                parts = parts[:1] if parts[-1] == "__init__" else parts
                if all(part.isidentifier() for part in parts):
                    found[parts[0]].add(owner)
                    found[".".join(parts)].add(owner)
    return {name: frozenset(brought) for name, brought in found.items()}


def hidden(allowed: set[str]) -> list[str]:
    """The names that a step cannot import: what only distributions bring that it does not declare.

    Args:
        allowed: The distributions of the step, by canonical name.

    Returns:
        The names, without those below a name that is hidden itself.
    """
    allowed = allowed | set(IN_EVERY_IMAGE)
    names = {name for name, brought in owners().items() if not brought & allowed}
    return sorted(name for name in names if "." not in name or name.split(".")[0] not in names)


def guard_folder(folder: Path, packages: Iterable[Declared]) -> Path:
    """A folder for ``PYTHONPATH`` that hides from Python what a step does not declare.

    Args:
        folder: Holds a folder for each set of packages.
        packages: What the step declares.

    Returns:
        The folder, with ``sitecustomize.py`` and what it reads.
    """
    allowed = closure(packages)
    known: dict[str, Any] = {"hidden": hidden(allowed), "distributions": sorted(allowed | set(IN_EVERY_IMAGE))}
    text = json.dumps(known)
    guard = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
    if not (guard / "sitecustomize.py").is_file():
        guard.mkdir(parents=True, exist_ok=True)
        (guard / "known.json").write_text(text)
        # Last: it says that the folder is whole.
        shutil.copyfile(Path(__file__).with_name("import_guard.py"), guard / "sitecustomize.py.new")
        (guard / "sitecustomize.py.new").rename(guard / "sitecustomize.py")
    return guard
