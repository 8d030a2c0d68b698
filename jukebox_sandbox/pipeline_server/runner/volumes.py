"""Volume claims: each is a folder of the sandbox, put where a step mounts it for as long as the step runs."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server.runner.environment import Named


def claims(step: str, platform: dict[str, Any], resolve: Named) -> list[tuple[str, str]]:
    """The volume claims that a step mounts.

    Args:
        step: The step's name, for the message.
        platform: What the platform spec says of it.
        resolve: Resolves a name that an input gives.

    Returns:
        Claim and mount path; behind the claim's name, the path within it.

    Raises:
        SandboxError: If a name is missing.
    """
    found = []
    for entry in platform.get("pvcMount", []):
        spec = entry.get("pvcNameParameter") or {key: entry[key] for key in KINDS if key in entry}
        name = resolve({"runtimeValue": {"constant": spec["constant"]}} if "constant" in spec else spec)
        if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
            raise SandboxError(
                f"Step {step!r} mounts the volume claim {name!r}, which is not a valid name.", "Correct it."
            )
        inside = entry.get("subPath", "").strip("/")
        if ".." in inside.split("/"):
            raise SandboxError(f"Step {step!r} mounts {inside!r} of a claim, which leads out of it.", "Correct it.")
        found.append((f"{name}/{inside}".rstrip("/"), entry["mountPath"]))
    return found


KINDS = ("constant", "taskOutputParameter", "componentInputParameter")
"""How older compilers name a claim."""


class Volumes:
    """The claims of a sandbox.

    Args:
        folder: Holds a folder for each.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._used: Counter[Path] = Counter()

    def check(self, step: str, mounts: list[tuple[str, str]]) -> None:
        """Refuse mounts that this machine does not allow: a folder appears there by a link, which needs the permission.

        Args:
            step: The step's name, for the message.
            mounts: Claims and mount paths.

        Raises:
            SandboxError: If there is one, by step and path.
        """
        for claim, where in mounts:
            path = Path(where)
            if not path.is_absolute() or not (self._own(path) or _free(path)):
                raise SandboxError(
                    f"Step {step!r} mounts the volume claim {claim.split('/')[0]!r} at {where}, "
                    "where this machine does not let a folder be put.",
                    "Leave the claim out here, mount it below /tmp, or run the pipeline in a cluster.",
                )

    @contextmanager
    def mounted(self, step: str, mounts: list[tuple[str, str]]) -> Iterator[None]:
        """Put claims where a step mounts them.

        Args:
            step: The step's name, for the message.
            mounts: Claims and mount paths.

        Yields:
            Nothing.

        Raises:
            SandboxError: If a path is taken.
        """
        with ExitStack() as cleanup:
            for claim, where in mounts:
                path, folder = Path(where), self.folder / claim
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                if not self._used[path]:
                    self.check(step, [(claim, where)])
                    path.unlink(missing_ok=True)
                    path.symlink_to(folder)
                elif path.readlink() != folder:
                    raise SandboxError(f"Step {step!r}: another claim is mounted at {where} right now.", "Try again.")
                self._used[path] += 1
                cleanup.callback(self._release, path)
            yield

    def _release(self, path: Path) -> None:
        self._used[path] -= 1
        if not self._used[path]:
            path.unlink(missing_ok=True)

    def _own(self, path: Path) -> bool:
        """Whether a path is a link to a claim: of this sandbox, or of one that is gone."""
        return path.is_symlink() and (self.folder in path.readlink().parents or not path.exists())


def _free(path: Path) -> bool:
    """Whether a link can be made at a path: tried, as permissions do not say everything."""
    try:
        path.symlink_to(path.parent)
        path.unlink()
    except OSError:
        return False
    return True
