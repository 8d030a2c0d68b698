"""Whether the two tables are what they should be, and the canonical form of the songs.

All of it travels into pipeline steps (package: pyarrow).
"""

from typing import TYPE_CHECKING

from jukebox_helpers.steps.casts import as_contract
from jukebox_helpers.steps.constants import SONG_COLUMNS
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.steps.messages import shown
from jukebox_helpers.steps.parquet_files import open_table, unreadable
from jukebox_helpers.steps.schemas import Schema, column_faults, rankings_schema, songs_schema

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet


class Findings:
    """The rows that break rules, over all blocks of a table: by column and rule, how many, and the first three."""

    def __init__(self) -> None:
        """Nothing is found yet."""
        self.counts: dict[tuple[str, str], int] = {}
        self.first: dict[tuple[str, str], list[str]] = {}

    def note(self, column: str, rule: str, rows: list[int], table: "pyarrow.Table", start: int) -> None:
        """Add rows of a block, which begins with row ``start`` of the table; without rows, the rule alone."""
        first = self.first.setdefault((column, rule), [])
        self.counts[column, rule] = self.counts.get((column, rule), 0) + len(rows)
        for row in rows[: 3 - len(first)]:
            values = []
            for name in ("spotify_id", column):
                try:
                    values.append(shown(table[name][row].as_py()) if name in table.schema.names else "?")
                except UnicodeDecodeError:
                    values.append(shown(table[name][row].as_buffer().to_pybytes()))
                except (OverflowError, ValueError):  # a time outside of Python's years
                    values.append(shown(table[name][row].value))
            first.append(f"row {start + row}, spotify_id {values[0]}, value {values[1]}")

    def note_repeated(self, column: str, values: "pyarrow.ChunkedArray") -> None:
        """Add the rows whose value another row has too."""
        if rows := repeated(values):
            self.counts[column, "must be unique"] = len(rows)
            first = [f"row {row}, {column} {shown(values[row].as_py())}" for row in rows[:3]]
            self.first[column, "must be unique"] = first

    def lines(self, rows: int, verb: str) -> list[str]:
        """A line for each column and rule, of a table of so many rows: what they do, and the first."""
        return [
            f"column {column!r} {rule}"
            + (f": {count} of {rows} rows {verb}; first: " + "; ".join(self.first[column, rule]) if count else "")
            for (column, rule), count in self.counts.items()
        ]


def repeated(column: "pyarrow.ChunkedArray") -> list[int]:
    """The rows, from 0 and in order, whose value another row has too; a missing value is not a value."""
    from pyarrow import compute

    # Arrow crashes on a column of no chunks.
    values = column.combine_chunks()
    counts = values.drop_null().value_counts()
    twice = counts.filter(compute.greater(counts.field("counts"), 1)).field("values")
    return compute.indices_nonzero(compute.is_in(values, twice)).to_pylist()


def cast_block(raw: "pyarrow.Table", columns: dict, faults: Findings, start: int) -> "pyarrow.Table":
    """Bring a block, which begins with row ``start``, to the types of the contract; note what does not fit.

    Returns:
        The columns that fit.
    """
    import pyarrow
    import pyarrow.compute

    table, misfits = as_contract(raw, columns)
    for name in table.schema.names:
        try:
            table[name].validate(full=True)
        except pyarrow.ArrowInvalid:
            values = table[name].cast("binary").to_pylist()
            rows = [
                row for row, value in enumerate(values) if value and value.decode(errors="ignore").encode() != value
            ]
            faults.note(name, "must be UTF-8 text", rows, table, start)
            table, raw = table.drop_columns([name]), raw.drop_columns([name])
    for name, lost in misfits.items():
        found = shown(str(raw.schema.field(name).type)).strip("'\"")
        rule = f"must be of type {columns[name]}, found {found}" + " that does not fit" * (lost is not None)
        rows = [] if lost is None else pyarrow.compute.indices_nonzero(lost).to_pylist()
        faults.note(name, rule, rows, raw, start)
    return table


def check_block(table: "pyarrow.Table", schema: Schema, faults: Findings, unusual: Findings, start: int) -> None:
    """Note the rows of a block, which begins with row ``start``, that break a rule, and those that are unusual."""
    from pyarrow import compute

    for name in table.schema.names:
        values, broken = table[name], []
        if name not in schema.optional:
            broken.append((faults, "must not be missing", compute.is_null(values)))
        for findings, verb, ranges in ((faults, "must be", schema.ranges), (unusual, "is usually", schema.usual)):
            if name in ranges:
                low, high = ranges[name]
                inside = compute.and_(compute.greater_equal(values, low), compute.less_equal(values, high))
                broken.append((findings, f"{verb} between {low} and {high}", compute.invert(inside)))
        if name in schema.patterns:
            pattern, words = schema.patterns[name]
            outside = compute.invert(compute.match_substring_regex(values, pattern))
            broken.append((faults, f"must be {words}", outside))
        for findings, rule, mask in broken:
            if rows := compute.indices_nonzero(mask).to_pylist():
                findings.note(name, rule, rows, table, start)


def validate_table(path: str, schema: Schema, batch_rows: int = 65_536) -> dict:
    """Validate a Parquet file against a schema, block by block, and report every fault at once.

    Args:
        path: The Parquet file.
        schema: Its schema.
        batch_rows: Rows validated at a time. Of all rows, only the column that must be unique is kept.

    Returns:
        ``{"rows": int, "columns": int, "unusual": int, "remarks": list[str]}``; the number of unusual values, and
        lines about them and about time zones.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a table, or breaks a rule: columns, rules, counts and first rows.
    """
    import collections

    import pyarrow

    faults, unusual = Findings(), Findings()
    start, unique = 0, []
    with open_table(path) as file:
        found = file.schema_arrow
        if twice := [shown(name) for name, count in collections.Counter(found.names).items() if count > 1][:10]:
            raise ValueError(f"{path} has more than one column {', '.join(twice)}. Next: keep one of each name.")
        index = [name for name in index_columns(found) if name not in schema.columns]
        structure = column_faults([name for name in found.names if name not in index], list(schema.columns))
        known = [name for name in schema.columns if name in found.names]
        typed = {name: schema.columns[name] for name in known if name not in schema.untyped}
        try:
            for batch in file.iter_batches(batch_rows, columns=known, use_threads=False):
                table = cast_block(pyarrow.Table.from_batches([batch]), typed, faults, start)
                check_block(table, schema, faults, unusual, start)
                if schema.unique in table.schema.names:
                    unique += table[schema.unique].chunks
                elif schema.unique:
                    unique.append(pyarrow.nulls(batch.num_rows, "string"))
                start += batch.num_rows
        except (pyarrow.ArrowException, OSError) as error:
            raise unreadable(path, error) from None
    faults.note_repeated(schema.unique, pyarrow.chunked_array(unique, "string"))
    if structure := structure + faults.lines(start, "do not comply"):
        raise ValueError(
            f"{schema.name} breaks {len(structure)} rule{'s'[: len(structure) > 1]} of its schema ({path}):\n- "
            + "\n- ".join(structure)
            + "\nNext: correct the source and run again. Nothing was stored. (Row 0 is the first.)"
        )
    remarks = [
        f"column {name!r} has the time zone {shown(zone)}; times are read in UTC"
        for name in known
        if (zone := getattr(found.field(name).type, "tz", None))
    ]
    remarks += [f"column {shown(name)} is a data frame's index; it is left out" for name in index[:10]]
    return {
        "rows": start,
        "columns": len(known),
        "unusual": sum(unusual.counts.values()),
        "remarks": remarks + unusual.lines(start, "are unusual"),
    }


def index_columns(schema: "pyarrow.Schema") -> list[str]:
    """The columns that are a data frame's index, says who wrote them; pandas and fastparquet add them to the others.

    See https://pandas.pydata.org/docs/development/developer.html, ``index_columns``.
    """
    try:
        return [name for name in (schema.pandas_metadata or {})["index_columns"] if isinstance(name, str)]
    except (ValueError, KeyError, TypeError):
        return []  # no metadata of pandas, or not as it writes it


def validate_songs(path: str) -> dict:
    """Validate a songs table; the rest is as in `validate_table`."""
    return validate_table(path, songs_schema())


def validate_rankings(path: str) -> dict:
    """Validate a rankings table; the rest is as in `validate_table`."""
    return validate_table(path, rankings_schema())


def transform_songs(source: str, target: str) -> dict:
    """Write the songs in their one canonical form, so that equal tables are equal bytes.

    Columns and types of the contract, sorted by ``spotify_id``, nothing of pandas beside them.

    Args:
        source: A valid songs table, Parquet.
        target: The Parquet file to write.

    Returns:
        ``{"rows": int, "md5": str}``; the md5 is of the bytes written, the one that DVC records.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or is not a valid songs table.
    """
    import pyarrow
    import pyarrow.parquet

    with open_table(source) as file:
        try:
            table, _ = as_contract(file.read(), SONG_COLUMNS)
        except (pyarrow.ArrowException, OSError) as error:
            raise unreadable(source, error) from None
    if table.schema.names != list(SONG_COLUMNS):
        missing = ", ".join(name for name in SONG_COLUMNS if name not in table.schema.names)
        raise ValueError(f"{source} lacks {missing}, or they do not fit. Next: validate the songs; it says why.")
    table = table.sort_by("spotify_id").combine_chunks()
    pyarrow.parquet.write_table(table, target, compression="zstd", store_schema=False)
    return {"rows": table.num_rows, "md5": file_digest(target, "md5")}
