"""Whether the two tables are what they should be, and the canonical form of the songs.

All of it travels into pipeline steps (packages: pandas, pandera, pyarrow).
"""

from typing import TYPE_CHECKING

from jukebox_helpers.steps.casts import as_contract
from jukebox_helpers.steps.constants import RANKING_COLUMNS, SONG_COLUMNS
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.steps.messages import shown
from jukebox_helpers.steps.parquet_files import open_table, unreadable
from jukebox_helpers.steps.schemas import column_faults, rankings_schema, songs_schema, usual_songs

if TYPE_CHECKING:
    import numpy
    import pandera.pandas as pandera
    import pyarrow
    import pyarrow.parquet


def repeated(values: "pyarrow.ChunkedArray") -> "numpy.ndarray":
    """The rows whose value another row has too; a missing value is not a value.

    Args:
        values: The values of all rows.

    Returns:
        Row numbers, from 0, in order.
    """
    import numpy

    code = values.combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy()
    return numpy.flatnonzero((numpy.bincount(code + 1)[code + 1] > 1) & (code >= 0))


def note_rows(notes: dict, column: str, rule: str, rows: list[int], table: "pyarrow.Table", start: int) -> None:
    """Count rows that break a rule, and keep the first three in words.

    Args:
        notes: Count and first rows by column and rule; added to.
        column: The column.
        rule: The rule.
        rows: Rows of this block, from 0, in order.
        table: The block.
        start: The number of its first row.
    """
    note = notes.setdefault((column, rule), {"count": 0, "rows": []})
    note["count"] += len(rows)
    for row in rows[: 3 - len(note["rows"])]:
        values = []
        for name in ("spotify_id", column):
            try:
                values.append(shown(table[name][row].as_py()) if name in table.schema.names else "?")
            except (OverflowError, ValueError):  # a time outside of Python's years
                values.append(shown(table[name][row].value))
        note["rows"].append(f"row {start + row}, spotify_id {values[0]}, value {values[1]}")


def cast_block(raw: "pyarrow.Table", columns: dict, faults: dict, start: int) -> "pyarrow.Table":
    """Bring a block to the types of the contract, and note what does not fit.

    Args:
        raw: The block as it was read.
        columns: Arrow types by column name.
        faults: Noted faults; added to.
        start: The number of the block's first row.

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
            # What is not text cannot be shown.
            note_rows(faults, name, "must be UTF-8 text", [], table, start)
            table, raw = table.drop_columns([name]), raw.drop_columns([name])
    for name, lost in misfits.items():
        found = shown(str(raw.schema.field(name).type)).strip("'\"")
        rule = f"must be of type {columns[name]}, found {found}" + " that does not fit" * (lost is not None)
        rows = [] if lost is None else pyarrow.compute.indices_nonzero(lost).to_pylist()
        note_rows(faults, name, rule, rows, raw, start)
    return table


def check_block(
    table: "pyarrow.Table", schema: "pandera.DataFrameSchema", notes: dict, start: int, rule: str = "must be"
) -> None:
    """Note the rows of a block that break a rule of the schema.

    Args:
        table: The block, in the types of the contract.
        schema: The pandera schema; columns that the block does not have are left out.
        notes: Count and first rows by column and rule; added to.
        start: The number of the block's first row.
        rule: How a rule begins.
    """
    import pandas
    import pandera.errors

    schema = schema.remove_columns([name for name in schema.columns if name not in table.schema.names])
    try:
        schema.validate(table.to_pandas(types_mapper=pandas.ArrowDtype), lazy=True)
    except pandera.errors.SchemaErrors as errors:
        for (column, check), group in errors.failure_cases.groupby(["column", "check"], sort=False):
            rows = group["index"].dropna().astype(int).sort_values().tolist()
            broken = "must not be missing" if check == "not_nullable" else f"{rule} {check}"
            note_rows(notes, column, broken, rows, table, start)


def in_words(notes: dict, rows: int, verb: str) -> list[str]:
    """The lines of a report: column, rule, count and first rows.

    Args:
        notes: Count and first rows by column and rule.
        rows: The number of rows of the table.
        verb: What the rows do.

    Returns:
        A line for each column and rule.
    """
    return [
        f"column {column!r} {rule}"
        + (f": {note['count']} of {rows} rows {verb}; first: " + "; ".join(note["rows"]) if note["count"] else "")
        for (column, rule), note in notes.items()
    ]


# Long: one pass over the file, which keeps every fault.
def validate_table(
    path: str,
    schema: "pandera.DataFrameSchema",
    columns: dict,
    batch_rows: int,
    usual: "pandera.DataFrameSchema | None" = None,
) -> dict:
    """Validate a Parquet file against a schema, block by block, and report every fault at once.

    Args:
        path: The Parquet file.
        schema: The pandera schema.
        columns: The contract's Arrow types by column name.
        batch_rows: Rows validated at a time. Of all rows, only the columns that must be unique are kept.
        usual: What is usual; what breaks it is reported, and stops nothing.

    Returns:
        ``{"rows": int, "columns": int, "unusual": int, "remarks": list[str]}``; the number of unusual values, and
        lines about them and about time zones.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no table or breaks a rule: columns, rules, counts and first rows.
    """
    import collections
    import gc
    import warnings

    import pyarrow

    faults: dict[tuple[str, str], dict] = {}
    unusual: dict[tuple[str, str], dict] = {}
    with open_table(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = file.schema_arrow
        if twice := [shown(name) for name, count in collections.Counter(found.names).items() if count > 1][:10]:
            raise ValueError(f"{path} has more than one column {', '.join(twice)}. Next: keep one of each name.")
        structure = column_faults(found.names, list(columns))
        known = {name: kind for name, kind in columns.items() if name in found.names}
        # A column whose type the schema leaves open may be of any.
        typed = {name: kind for name, kind in known.items() if schema.columns[name].dtype is not None}
        unique: dict[str, list] = {name: [] for name in known if schema.columns[name].unique}
        schema = schema.update_columns({name: {"unique": False} for name in unique})
        schema = schema.remove_columns([name for name in columns if name not in typed])
        start = 0
        try:
            for batch in file.iter_batches(batch_rows, columns=list(known), use_threads=False):
                table = cast_block(pyarrow.Table.from_batches([batch]), typed, faults, start)
                for name in unique:
                    nothing = [pyarrow.nulls(batch.num_rows, "string")]
                    unique[name] += table[name].chunks if name in table.schema.names else nothing
                # What pandera makes refers to itself in circles; left alone, batches pile up.
                gc.collect(1)
                check_block(table, schema, faults, start)
                if usual:
                    check_block(table, usual, unusual, start, "is usually")
                start += batch.num_rows
        except (pyarrow.ArrowException, OSError) as error:
            raise unreadable(path, error) from None
    for name, kept in unique.items():
        values = pyarrow.chunked_array(kept, "string")
        if len(rows := repeated(values)):
            first = [f"row {row}, {name} {shown(values[row].as_py())}" for row in rows[:3].tolist()]
            faults[name, "must be unique"] = {"count": len(rows), "rows": first}
    if structure := structure + in_words(faults, start, "do not comply"):
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
    return {
        "rows": start,
        "columns": len(known),
        "unusual": sum(note["count"] for note in unusual.values()),
        "remarks": remarks + in_words(unusual, start, "are unusual"),
    }


def validate_songs(path: str) -> dict:
    """Validate a songs table, in blocks.

    Args:
        path: The Parquet file.

    Returns:
        ``{"rows": int, "columns": int, "unusual": int, "remarks": list[str]}``, see `validate_table`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: With every fault: column, rule, count, first rows.
    """
    return validate_table(path, songs_schema(), SONG_COLUMNS, 65_536, usual_songs())


def validate_rankings(path: str) -> dict:
    """Validate a rankings table, in blocks, in little memory.

    Args:
        path: The Parquet file.

    Returns:
        ``{"rows": int, "columns": int, "unusual": int, "remarks": list[str]}``, see `validate_table`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: With every fault: column, rule, count, first rows.
    """
    return validate_table(path, rankings_schema(), RANKING_COLUMNS, 65_536)


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
