"""The workshop's tables, and the buckets of the platform."""

import shutil
import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.steps import sample_data
from jukebox_helpers.steps.constants import INCOMING_ADDRESS, INCOMING_OBJECT, KINDS_OF_SONGS, WORKSHOP_SONGS
from jukebox_helpers.steps.data_cache import cache_key
from jukebox_helpers.steps.files import file_digest, write_whole
from jukebox_helpers.steps.s3 import explained, list_buckets, s3_client
from jukebox_helpers.steps.tables import validate_songs
from jukebox_helpers.waiting import wait_until
from jukebox_helpers.workshop.clones import Clones
from jukebox_helpers.workshop.songs import arrived, existing_file, upload


class Storage(Clones):
    """The workshop's tables, made when first asked for, the same bytes every time; and the buckets of the platform."""

    def table(self, name: str, make: Callable[[str], Any]) -> Path:
        """A table of this workshop, made whole or not at all."""
        file = self.tables / name
        if not file.is_file():
            write_whole(str(file), make)
        return file

    @property
    @as_jukebox_error()
    def songs(self) -> Path:
        """The songs to begin with."""
        return self.table("songs.parquet", lambda path: sample_data.make_songs(path, songs=WORKSHOP_SONGS))

    @property
    def songs_url(self) -> str:
        """The songs' address, where each day's table arrives; it is what to type into a form."""
        return INCOMING_ADDRESS

    @as_jukebox_error()
    def publish(self, kind: str, songs: str | Path | None = None) -> dict[str, Any]:
        """Let a day's songs arrive at their address.

        The kinds are ``first``, ``fresh``, ``same``, ``corrected``, ``broken`` and ``drift``. Again, it is the same
        bytes; ``same``, of other bytes with the same songs, is made from what is there. The last three change what came
        with ``first`` or ``fresh``, whichever came last. Songs of your own to begin with, a Parquet file, take the
        place of the made-up ones and stay those of this place.

        Returns ``address``, ``rows``, and how many are ``new``, ``corrected`` or ``changed``. No such kind or file, no
        bucket ``data`` yet, or songs that are not valid are a JukeboxError.
        """
        from pyarrow.parquet import read_metadata

        if kind not in KINDS_OF_SONGS:
            raise JukeboxError(f"There is no kind {kind!r} of songs.", f"Name one of {', '.join(KINDS_OF_SONGS)}.")
        if songs and kind != "first":
            raise JukeboxError("Songs of your own are those to begin with.", "Publish them as first.")
        known = arrived(self.settings)
        if songs:
            file = existing_file(songs)
            validate_songs(str(file))
            write_whole(str(self.tables / "songs.parquet"), lambda path: shutil.copyfile(file, path))
        week = kind if kind in ("first", "fresh") else (known or {}).get("week", "first")
        with tempfile.TemporaryDirectory(prefix="jukebox-publish-") as folder:
            table, facts = self.songs, {}
            if kind == "same" and known is not None:
                table = Path(folder, "there.parquet")
                self.download(self.songs_url, str(table))
            elif week == "fresh":
                table = Path(folder, "fresh.parquet")
                facts = sample_data.make_fresh_songs(str(self.songs), str(table))
            if kind not in ("first", "fresh"):
                source, table = table, Path(folder, f"{kind}.parquet")
                facts = sample_data.change_songs(str(source), str(table), kind)
            address = upload(self.settings, table, INCOMING_OBJECT, week)
            return {"address": address} | (facts or {"rows": read_metadata(table).num_rows})

    @cached_property
    @as_jukebox_error()
    def s3(self) -> Any:
        """An S3 client."""
        first = next((n for n in ("data", "models") if (self.settings.secrets / f"aws-connection-{n}").is_dir()), "")
        return s3_client(self.settings.secret(f"aws-connection-{first or 'models'}"))

    @as_jukebox_error()
    def buckets(self) -> list[str]:
        """The buckets of the S3 server."""
        with explained(self.s3):
            return list_buckets(self.s3)

    @as_jukebox_error()
    def objects(self, bucket: str) -> dict[str, int]:
        """The objects of a bucket, with their sizes in bytes."""
        with explained(self.s3, f"s3://{bucket}"):
            pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
            return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}

    def cached_version(self, md5: str) -> str:
        """The address of a data version's object in the bucket ``data-cache``; empty if it is not there."""
        key = cache_key(md5)
        present = "data-cache" in self.buckets() and key in self.objects("data-cache")
        return f"s3://data-cache/{key}" if present else ""

    def restore(self, md5: str) -> Path:
        """Bring a data version from the bucket ``data-cache``, and make sure that it has the bytes it names."""
        address = self.cached_version(md5)
        if not address:
            raise JukeboxError(
                f"Data version {md5} is not in the bucket data-cache: it was never pushed there, or was removed.",
                "Take one of place.practised_versions(), or push this one: dvc push, in the folder that has it.",
            )
        target = self.table(f"{md5}.parquet", lambda path: self.download(address, path))
        if file_digest(str(target), "md5") != md5:
            raise JukeboxError(f"The object of data version {md5} has other bytes.", "Run the data pipeline again.")
        return target

    @as_jukebox_error()
    def download(self, address: str, path: str) -> None:
        """Bring an object, e.g. ``s3://data/song_properties.parquet``."""
        bucket, _, key = address.removeprefix("s3://").partition("/")
        with explained(self.s3, address):
            self.s3.download_file(bucket, key, path)

    def wait_for_buckets(self, *names: str, timeout: float = 120.0) -> list[str]:
        """Wait until buckets are there, on a laptop with their connections, and return all buckets of the server.

        If one is still missing after ``timeout`` seconds, that is a JukeboxError.
        """

        def late() -> JukeboxError:
            return JukeboxError(
                f"After {timeout:.0f} s the S3 server still has no {', '.join(self._missing(names))}.",
                "Look at ./jukebox status (on the laptop) or at Argo CD (in the cluster): what became of the push?",
            )

        wait_until(lambda: not self._missing(names), timeout, late)
        return self.buckets()

    def _missing(self, names: tuple[str, ...]) -> list[str]:
        """The buckets that are not there and, on a laptop, the connections that are not: each follows its bucket."""
        present = self.buckets()
        buckets = [f"bucket {name}" for name in names if name not in present]
        secrets = [f"aws-connection-{name}" for name in names if name in present]
        return buckets + [f"Secret {secret}" for secret in secrets if not self.settings.has_secret(secret)]
