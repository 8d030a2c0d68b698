"""Valid tables of songs, damaged in every way that hypothesis finds: for the unit tests, and for longer attacks.

`damaged_songs` is the strategy. `what_becomes_of_it` holds the promise: a damaged table is refused with a sentence, or
gives a version that reads back equal; anything else is an exception that is not ours, or an AssertionError.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from hypothesis import strategies as st

from jukebox_helpers.steps.constants import SONG_COLUMNS
from jukebox_helpers.steps.sample_data import make_songs
from jukebox_helpers.steps.tables import transform_songs, validate_songs

NAMES = list(SONG_COLUMNS)

VALUES: dict[str, list[Any]] = {
    "string": ["", "x" * 22, "0123456789abcdefghijkl\n", "\x1b[2J", "\u202etxt", "Next: run this", "ü" * 5_000, None],
    "bool": [True, False, None],
    "int64": [-1, 0, 1, 12, 60_000, 86_400_001, 2**53 + 1, 2**63 - 1, -(2**63), None],
    "double": [-0.0, 0.5, 1.0, 2.0, 1e300, float("inf"), float("-inf"), float("nan"), None],
    "timestamp[us]": [
        *(datetime(year, 8, 26, 1, 2, 3, 4) for year in (1, 1969, 2024, 2199, 2608, 9999)),
        None,
    ],
}
"""What a value of a column may become, by the column's type."""

TYPES = [
    pyarrow.string(), pyarrow.large_string(), pyarrow.string_view(), pyarrow.binary(), pyarrow.large_binary(),
    pyarrow.binary(22), pyarrow.bool_(), pyarrow.int8(), pyarrow.int32(), pyarrow.int64(), pyarrow.uint64(),
    pyarrow.float16(), pyarrow.float32(), pyarrow.float64(), pyarrow.decimal128(38, 18), pyarrow.decimal256(60, 3),
    pyarrow.date32(), pyarrow.date64(), pyarrow.timestamp("s"), pyarrow.timestamp("ms", "America/Lima"),
    pyarrow.timestamp("ns"), pyarrow.duration("us"), pyarrow.time64("us"), pyarrow.dictionary("int32", "string"),
]  # fmt: skip
"""The types in which a column may come, where Arrow can cast it."""

SHAPES: list[Callable[[pyarrow.ChunkedArray], pyarrow.Array]] = [
    lambda column: pyarrow.nulls(len(column)),
    lambda column: column.combine_chunks().dictionary_encode(),
    lambda column: pyarrow.array([[value] for value in column.to_pylist()]),
    lambda column: pyarrow.array([{"value": value} for value in column.to_pylist()]),
    lambda column: pyarrow.array([b"\xff\xfe"] + [b"x"] * (len(column) - 1), "binary").view("string"),
]  # fmt: skip
"""What a column may become as a whole."""

COLUMN_NAMES = [
    "id",
    "track_name",
    "snapshot_date",
    "",
    "x\nNext: run this",
    "\x1b]0;x\x07",
    "y" * 5_000,
    "tempo",
    "name",
]

# fmt: off
WRITERS: list[dict[str, Any]] = [
    {}, {"compression": "none", "use_dictionary": False}, {"compression": "zstd", "data_page_version": "2.0"},
    {"compression": "brotli", "row_group_size": 7}, {"compression": "gzip", "write_statistics": False},
    {"use_deprecated_int96_timestamps": True}, {"version": "1.0", "store_schema": False},
    {"write_page_checksum": True}, {"coerce_timestamps": "ms", "allow_truncated_timestamps": True},
]
# fmt: on
"""How a table may be written."""


@dataclass(frozen=True)
class DamagedTable:
    """A table that was valid, what was done to it, and the bytes of the file."""

    done: tuple[str, ...]
    content: bytes


def changed_value(table: pyarrow.Table, draw: Callable) -> pyarrow.Table:
    """Another value in one row."""
    name, row = draw(st.sampled_from(table.schema.names)), draw(st.integers(0, max(0, table.num_rows - 1)))
    values, kind = table[name].to_pylist(), table.schema.field(name).type
    if values:
        values[row] = draw(st.sampled_from(VALUES.get(str(kind), [None])))
    return replaced(table, name, pyarrow.array(values, kind))


def other_type(table: pyarrow.Table, draw: Callable) -> pyarrow.Table:
    """A column of another type, cast where Arrow can, lossy or not."""
    name = draw(st.sampled_from(table.schema.names))
    return replaced(table, name, table[name].cast(draw(st.sampled_from(TYPES)), safe=False))


def other_shape(table: pyarrow.Table, draw: Callable) -> pyarrow.Table:
    """A column without values, of lists, of structs, of bytes that are no text."""
    name = draw(st.sampled_from(table.schema.names))
    return replaced(table, name, draw(st.sampled_from(SHAPES))(table[name]))


def other_columns(table: pyarrow.Table, draw: Callable) -> pyarrow.Table:
    """A column dropped, renamed, added, or all of them in another order."""
    names = table.schema.names
    one, new = draw(st.sampled_from(names)), draw(st.sampled_from(COLUMN_NAMES))
    return draw(
        st.sampled_from(
            [
                table.drop_columns([one]),
                table.rename_columns([new if name == one else name for name in names]),
                table.append_column(new, table[one]),
                table.append_column("__index_level_0__", table[one]),
                table.select(list(reversed(range(len(names))))),
            ]
        )
    )


def other_rows(table: pyarrow.Table, draw: Callable) -> pyarrow.Table:
    """Rows in another order, fewer of them, or some twice."""
    rows = draw(st.lists(st.integers(0, max(0, table.num_rows - 1)), max_size=8))
    return draw(
        st.sampled_from(
            [
                table.take(list(reversed(range(table.num_rows)))),
                table.take(rows if table.num_rows else []),
                pyarrow.concat_tables([table, table.slice(0, 1)]),
            ]
        )
    )


NOT_POSSIBLE = (pyarrow.ArrowException, KeyError, ValueError, TypeError, OverflowError, NotImplementedError)
"""What Arrow says of a change that it cannot make, such as a time as a flag."""

CHANGES = [changed_value, other_type, other_shape, other_columns, other_rows]


def replaced(table: pyarrow.Table, name: str, column: Any) -> pyarrow.Table:
    """The table with another column under a name; the first one, where several have it."""
    return table.set_column(table.schema.names.index(name), name, column)


def damaged_bytes(content: bytes, draw: Callable) -> bytes:
    """A file that is cut off, or some of whose bytes are others."""
    start = draw(st.integers(0, len(content) - 1))
    length = draw(st.integers(1, 400))
    part = content[start : start + length]
    return draw(
        st.sampled_from(
            [
                content[:start],
                content[:start] + bytes(len(part)) + content[start + length :],
                content[:start] + bytes(byte ^ 0x41 for byte in part) + content[start + length :],
                content[:start] + content[start + length :],
            ]
        )
    )


@st.composite
def damaged_songs(draw: Callable, table: pyarrow.Table) -> DamagedTable:
    """A strategy: a valid table of songs after one to three changes, written in any way, one in four damaged there.

    Args:
        draw: Hypothesis gives it.
        table: A valid table, e.g. `some_songs`.
    """
    done = []
    for change in draw(st.lists(st.sampled_from(CHANGES), min_size=0, max_size=3)):
        try:
            table = change(table, draw)
            done.append(change.__name__)
        except NOT_POSSIBLE:
            pass
    sink = pyarrow.BufferOutputStream()
    options = draw(st.sampled_from(WRITERS))
    try:
        pyarrow.parquet.write_table(table, sink, **options)
    except NOT_POSSIBLE:
        sink, options = pyarrow.BufferOutputStream(), {"store_schema": False}
        table = table.select([n for n, kind in enumerate(table.schema.types) if str(kind) in SONG_COLUMNS.values()])
        pyarrow.parquet.write_table(table, sink, **options)
    content = sink.getvalue().to_pybytes()
    if draw(st.integers(0, 3)) == 0:
        content = damaged_bytes(content, draw)
        done.append("damaged_bytes")
    return DamagedTable((*done, f"written with {options}"), content)


def some_songs(folder: Path, songs: int = 60) -> pyarrow.Table:
    """A valid table, as the sample data has it."""
    make_songs(str(folder / "valid.parquet"), songs=songs)
    return pyarrow.parquet.read_table(folder / "valid.parquet")


def what_becomes_of_it(table: DamagedTable, folder: Path) -> str:
    """Validate and transform a damaged table, as the data pipeline does, and hold what comes against the promise.

    Returns:
        The sentence with which it was refused; empty where it became a version, which reads back equal.

    Raises:
        AssertionError: If the sentence is none of ours, or the version is not equal to its source.
    """
    source, target = folder / "damaged.parquet", folder / "version.parquet"
    source.write_bytes(table.content)
    try:
        validate_songs(str(source))
        transform_songs(str(source), str(target))
    except ValueError as error:
        check_refusal(str(error))
        return str(error)
    version = pyarrow.parquet.read_table(target)
    assert version.schema.names == NAMES
    assert [str(kind) for kind in version.schema.types] == list(SONG_COLUMNS.values())
    assert rows_of(version) == rows_of(pyarrow.parquet.read_table(source, columns=NAMES))
    return ""


def check_refusal(said: str) -> None:
    """A refusal names a column or says what is wrong with the file, forges nothing, is short, and says what is next."""
    lines = said.splitlines()
    assert re.search(
        r"column '|more than one column|is damaged|is encrypted|is not a readable Parquet file|without rows", said
    ), said
    assert "Next: " in lines[-1], said
    assert all(line.isprintable() for line in lines), said
    assert len(said) < 12_000, said
    assert [line for line in lines if line.startswith("Next: ")] in ([], lines[-1:]), said


def rows_of(table: pyarrow.Table) -> list[list[Any]]:
    """The rows of a table in the order of their ids, each value as plain Python has it, whatever its encoding."""
    values = [[plain(value, SONG_COLUMNS[name]) for value in table[name].to_pylist()] for name in NAMES]
    return sorted(map(list, zip(*values, strict=True)), key=lambda row: row[0])


def plain(value: Any, kind: str) -> Any:
    """A value in the type of the contract."""
    if value is None:
        return None
    if kind == "string":
        return value.decode() if isinstance(value, bytes) else value
    if kind == "timestamp[us]":
        if not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day)
        value = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return value.to_pydatetime() if hasattr(value, "to_pydatetime") else value
    return {"bool": bool, "int64": int, "double": float}[kind](Decimal(value) if kind == "int64" else value)
