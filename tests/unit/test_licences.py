"""What is installed is pinned by version and hash, and says under which licence it is."""

import re

import licences
import pytest

AGAIN = "Next: .venv/bin/python tests/licences.py"


@pytest.mark.parametrize("lock", licences.LOCKS)
def test_every_package_is_pinned_by_version_and_hash(lock):
    found = licences.locked(lock)
    assert len(found) > 200
    for entry, hashes in found.items():
        assert re.match(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,_-]+\])?==[^ *]+( ; .+)? \\$", entry), entry
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}( \\)?", one) for one in hashes), entry


def test_the_page_has_the_packages_of_the_locks_and_what_they_say():
    page = licences.read()
    names = {licences.name_of(entry) for lock in licences.LOCKS for entry in licences.locked(lock)}
    assert set(page) == names, AGAIN
    found = licences.licences()
    assert {name: page[name] for name in found} == found, AGAIN


def test_no_licence_is_unknown():
    assert [name for name, said in licences.read().items() if not re.search("[A-Z]{2}|Apache", said)] == []
