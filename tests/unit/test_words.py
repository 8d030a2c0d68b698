"""Plain English: the words that docs/style.md asks for, and none of those that it does not."""

import re

import pytest

from jukebox_helpers.settings import KIT

FOLDERS = ("jukebox_helpers", "jukebox_sandbox", "3-prod_datascience", "5-data-versioning", "notebooks", "charts",
           "mlops-gitops", "docs")  # fmt: skip
SUFFIXES = (".py", ".md", ".html", ".ipynb", ".sh", ".yaml")
COMPILED = "-pipeline.yaml"
LEFT_OUT = ("style.md", "public-pipelines.md")
"""The page that names the words, and a table of other people's messages."""

WORDS = {
    r"\bmend(s|ed|ing)?\b": "fix, correct",
    r"(?<![Tt]here )(?<!it )\bis no (?!longer\b|such\b|more\b|news\b)": "is not a",
    r"\b(it|which|that|this|what) is no (?!longer\b|news\b)": "is not a",
    r"\bstands?\b(?! for\b| out\b| in the way\b|-in)": "is",
    r"(?<!same )\blies\b": "is",
    r"\btaken? apart\b": "parse, split",
    r"\bas it should\b": "as expected",
}


def files():
    found = [file for folder in FOLDERS for file in (KIT / folder).rglob("*") if file.suffix in SUFFIXES]
    found += [KIT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    return [one for one in found if one.name not in LEFT_OUT and not one.name.endswith((COMPILED, "-etl.yaml"))]


@pytest.mark.parametrize("pattern", WORDS)
def test_text_is_in_plain_english(pattern):
    found = [
        f"{file.relative_to(KIT)}:{number}: {line.strip()}"
        for file in files()
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == [], f"Write: {WORDS[pattern]}."
