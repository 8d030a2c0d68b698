"""What cleaning removes, and that it never removes what is named: generated states, and deaths at every call."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.cleaning import ASIDE, YOUNG, Cleaning, Stored, names_in, unnamed
from jukebox_helpers.steps.data_cache import cache_key

NOW = datetime(2026, 11, 25, tzinfo=UTC)
OLD, FRESH = NOW - YOUNG - timedelta(seconds=1), NOW - YOUNG + timedelta(minutes=1)
MD5S = [f"{number:032x}" for number in range(1, 9)]
KEYS = {cache_key(md5): md5 for md5 in MD5S}


class Died(BaseException):
    """The process is gone."""


class MemoryS3:
    """As much of an S3 server as cleaning needs; it dies at its ``dies``-th change."""

    def __init__(self, objects: dict[tuple[str, str], datetime]) -> None:
        self.held = dict(objects)
        self.bodies: dict[str, bytes] = {}
        self.dies = 10**9

    def _change(self) -> None:
        self.dies -= 1
        if self.dies < 0:
            raise Died

    def list_buckets(self):
        return {"Buckets": [{"Name": bucket} for bucket in {bucket for bucket, _ in self.held}]}

    def get_paginator(self, _):
        return self

    def paginate(self, Bucket, Prefix=""):
        found = sorted(
            (key, at) for (bucket, key), at in self.held.items() if bucket == Bucket and key.startswith(Prefix)
        )
        yield {"Contents": [{"Key": key, "Size": 1, "LastModified": at} for key, at in found]}
        yield {}

    def get_object(self, Bucket, Key):
        assert (Bucket, Key) in self.held
        return {"Body": io.BytesIO(self.bodies[Key])}

    def copy(self, source, bucket, key):
        self._change()
        assert (source["Bucket"], source["Key"]) in self.held
        self.held[bucket, key] = NOW

    def delete_object(self, Bucket, Key):
        self._change()
        self.held.pop((Bucket, Key), None)


class Looked(Cleaning):
    """Cleaning that is told what is named at each look; the last one holds from then on."""

    def __init__(self, client: MemoryS3, *looks: "set[str] | Exception") -> None:
        self.client, self.looks = client, list(looks)

    def names(self) -> set[str]:
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, Exception):
            raise look
        return set(look)

    def run(self) -> None:
        self.settle()
        going = unnamed(self.objects(), (names := self.names()) | self.listed(names), NOW)
        self.remove(going, lambda _: None)


@settings(max_examples=500, deadline=None)
@given(
    st.dictionaries(st.sampled_from(MD5S), st.sampled_from([OLD, FRESH])),
    st.sets(st.sampled_from(MD5S)),
    st.sets(st.sampled_from(MD5S)),
    st.integers(0, 40),
)
def test_a_version_that_is_named_before_or_meanwhile_stays_whenever_it_dies(stored, first, second, dies):
    s3 = MemoryS3({("data-cache", cache_key(md5)): at for md5, at in stored.items()})
    s3.dies = dies
    try:
        Looked(s3, first, second).run()
        left = {key for _, key in s3.held}
        assert left == {cache_key(md5) for md5, at in stored.items() if at == FRESH or md5 in first | second}
    except Died:
        # What somebody named all the time has always been in its place.
        assert {cache_key(md5) for md5 in first & set(stored)} <= {key for _, key in s3.held}
        s3.dies = 10**9
        Looked(s3, second).run()
        left = {key for _, key in s3.held}
        assert left >= {cache_key(md5) for md5, at in stored.items() if at == FRESH or md5 in second}
        assert not [key for key in left if key.startswith(ASIDE)]


def test_bytes_that_were_loaded_again_meanwhile_are_left_as_they_are():
    key = cache_key(MD5S[0])
    s3 = MemoryS3({("data-cache", key): OLD, ("data-cache", ASIDE + key): OLD})
    Looked(s3, {MD5S[0]}).run()
    assert s3.held == {("data-cache", key): OLD}


@settings(max_examples=200, deadline=None)
@given(st.sets(st.sampled_from(MD5S), min_size=1), st.sets(st.sampled_from(MD5S)))
def test_where_somebody_cannot_be_asked_again_all_of_it_comes_back(stored, first):
    s3 = MemoryS3({("data-cache", cache_key(md5)): OLD for md5 in stored})
    before = set(s3.held)
    if set(stored) <= first:
        Looked(s3, first, JukeboxError("git is silent")).run()
    else:
        with pytest.raises(JukeboxError, match="git is silent"):
            Looked(s3, first, JukeboxError("git is silent")).run()
    assert set(s3.held) == before


@pytest.mark.parametrize(
    "address",
    [
        "data-cache/files/md5/ab/notes.txt",
        "data-cache/rankings/latest.parquet",
        "data-cache/own/" + "a" * 64 + ".parquet",
        "data-cache/files/" + cache_key(MD5S[0]),
        "data/song_properties.parquet",
        "data/incoming/song_properties.parquet",
        "data/incoming/" + "a" * 64,
        "models/other/model.onnx",
        "models/jukebox/1/0123456789/model.pkl",
        "pipeline/iris/" + "12345678-1234-1234-1234-123456789012" + "/train/model",
        "pipeline/training-pipeline/latest/train/model",
        "pipeline/training-pipeline/12345678-1234-1234-1234-123456789012",
        "own/files/md5/ab/" + "a" * 30,
    ],
)
def test_what_is_not_of_the_kits_shape_stays(address):
    bucket, _, key = address.partition("/")
    assert unnamed([Stored(bucket, key, 1, OLD)], set(), NOW) == []


RUN = "12345678-1234-1234-1234-123456789012"


@pytest.mark.parametrize(
    ("bucket", "key", "said"),
    [
        ("data-cache", cache_key(MD5S[0]), f"outs:\n- md5: {MD5S[0]}\n"),
        ("data-cache", cache_key(MD5S[0]) + ".dir", f"  md5: {MD5S[0]}.dir"),
        ("data-cache", f"rankings/{'a' * 64}.parquet", f'{{"rankings sha256": "{"a" * 64}"}}'),
        ("data", f"incoming/{'a' * 64}.parquet", f"s3://data/incoming/{'a' * 64}.parquet"),
        ("pipeline", f"training-pipeline/{RUN}/train/model", f'{{"run": "{RUN}"}}'),
        ("pipeline", f"data-pipeline-with-dvc/{RUN}/a/b/report", f"https://x/runs/{RUN}/view"),
    ],
)
def test_each_kind_goes_without_a_name_and_stays_with_one(bucket, key, said):
    one = Stored(bucket, key, 1, OLD)
    assert unnamed([one], {"x"}, NOW) == [one]
    assert unnamed([one], names_in(said), NOW) == []
    assert unnamed([Stored(bucket, key, 1, FRESH)], set(), NOW) == []


def test_a_model_is_named_by_its_address():
    one = Stored("models", "jukebox/0123456789/abcdef0123/model.onnx", 1, OLD)
    assert unnamed([one], {one.key}, NOW) == [] and unnamed([one], {"abcdef0123"}, NOW) == [one]


@pytest.mark.parametrize("first", [{MD5S[0]}, set()], ids=["before", "meanwhile"])
def test_what_a_folder_lists_that_is_named_stays(first):
    folder, inside, other = MD5S[:3]
    s3 = MemoryS3({("data-cache", cache_key(md5)): OLD for md5 in (inside, other)})
    s3.held["data-cache", cache_key(folder) + ".dir"] = OLD
    s3.bodies[cache_key(folder) + ".dir"] = f'[{{"md5": "{inside}", "relpath": "a"}}]'.encode()
    Looked(s3, first, {folder}).run()
    assert {key for _, key in s3.held} == {cache_key(folder) + ".dir", cache_key(inside)}


@given(st.sampled_from(MD5S), st.text(max_size=20), st.text(max_size=20))
def test_a_name_is_found_in_any_text(md5, before, after):
    assert md5 in names_in(f"{before} {md5}\n{after}") and md5 in names_in(f"{before}'{md5}.dir{after}")
    assert md5 not in names_in(f"{before} a{md5} {after}".replace(md5 + " ", md5 + "0 "))
