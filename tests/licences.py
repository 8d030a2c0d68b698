"""The licences of the packages that the two locks name; run by its path, it writes docs/licences.md anew.

They are what each package says of itself. Whether a version was withdrawn or has a known fault, only an index or an
advisory service can say; what works without one is that every package is pinned by version and hash.
"""

import re
from collections import defaultdict
from importlib import metadata

from jukebox_helpers.settings import KIT

PAGE = KIT / "docs" / "licences.md"
LOCKS = ("requirements.txt", "requirements-development.txt")
STATED = {
    "appnope": "BSD-2-Clause",
    "axe-playwright-python": "MIT",
    "grandalf": "GPL-2.0 OR EPL-1.0",
    "pywin32": "PSF-2.0",
    "pywinpty": "MIT",
}
"""Where the package is for another system, or its licence is in a file only."""

NAMES = {
    "Apache": "Apache-2.0",
    "3-Clause BSD": "BSD-3-Clause",
    "2-clause BSD": "BSD-2-Clause",
    "BSD": "BSD",
    "ISC": "ISC",
    "MIT": "MIT",
    "Mozilla Public License 2.0": "MPL-2.0",
    "Python Software Foundation": "PSF-2.0",
    "Zope Public": "ZPL-2.1",
    "GPLv2 with linking exception": "GPL-2.0-only WITH GCC-exception-2.0",
    "GNU General Public License v2": "GPL-2.0",
}
"""Short names for what packages write in many ways; the first that is found in it."""


def locked(lock: str) -> dict[str, list[str]]:
    """The packages of a lock, each with the lines of its entry."""
    found: dict[str, list[str]] = {}
    for line in (KIT / lock).read_text().splitlines():
        if line and not line.startswith((" ", "#", "-")):
            found[line] = []
        elif found and line.strip().startswith("--hash="):
            found[next(reversed(found))].append(line.strip())
    return found


def name_of(entry: str) -> str:
    """The package of an entry."""
    return re.split(r"[\[= ;]", entry)[0]


def licence(package: str) -> str:
    """What an installed package says of its licence, shortened; empty where it says nothing."""
    if package in STATED:
        return STATED[package]
    about = metadata.metadata(package)
    if expression := about.get("License-Expression"):
        return str(expression)
    classifiers = [one.split(" :: ")[-1] for one in about.get_all("Classifier", []) if one.startswith("License ::")]
    text = next(iter(str(about.get("License") or "").strip().splitlines()), "")
    said = [one for one in classifiers if one != "OSI Approved"] or [text[:60]]
    return " OR ".join(sorted({next((short for long, short in NAMES.items() if long in one), one) for one in said}))


def licences() -> dict[str, str]:
    """The licence of each package that is installed here or stated above, by name."""
    installed = {re.sub(r"[-_.]+", "-", one.name).lower() for one in metadata.distributions()}
    names = {name_of(entry) for lock in LOCKS for entry in locked(lock)}
    return {name: licence(name) for name in sorted(names) if name in installed or name in STATED}


def page(found: dict[str, str]) -> str:
    """The page, as Markdown."""
    packages = defaultdict(list)
    for name, said in found.items():
        packages[said].append(name)
    lines = [f"| {said} | {len(names)} | {', '.join(names)} |" for said, names in sorted(packages.items())]
    return HEAD + "\n".join(lines) + "\n"


def read() -> dict[str, str]:
    """The licences that the page has, by package."""
    rows = re.findall(r"^\| (.+) \| \d+ \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    return {name: said for said, names in rows for name in names.split(", ")}


HEAD = """\
# Licences

Of the packages that `requirements.txt` and `requirements-development.txt` name, as each says of itself. Jukebox ships
none of them: `./jukebox` installs them, and `./jukebox pack` copies them. `.venv/bin/python tests/licences.py` writes
this page anew.

| licence | | packages |
| --- | --- | --- |
"""

if __name__ == "__main__":
    PAGE.write_text(page(licences()))
