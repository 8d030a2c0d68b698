"""Whether the two tables are what they should be, and the canonical form of the songs.

Every function here travels into pipeline steps (packages: pandas, pandera, pyarrow), so each one imports what it
needs and uses nothing of this module but other functions.
"""

from typing import TYPE_CHECKING

from jukebox_helpers.song_schemas import ranking_columns, rankings_schema, song_columns, songs_schema

if TYPE_CHECKING:
    import numpy
    import pandera.pandas as pandera
    import pyarrow
    import pyarrow.parquet


def open_table(path: str) -> "pyarrow.parquet.ParquetFile":
    """Open a Parquet file that has rows.

    Args:
        path: The file.

    Returns:
        The open file; the caller closes it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a Parquet file or has no rows.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowIOError) as error:
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f"There is no file {path}. Next: check where the table comes from.") from None
        raise ValueError(
            f"{path} is not a readable Parquet file ({str(error).splitlines()[0]}). "
            "Next: check that the address points at the data itself, not at a web page about it."
        ) from None
    if file.metadata.num_rows == 0:
        file.close()
        raise ValueError(f"{path} is a table without rows. Next: check the source, it has published nothing.")
    return file


def as_contract(table: "pyarrow.Table", columns: dict) -> "pyarrow.Table":
    """Drop what pandas left behind, and bring columns of the right kind to the width of the contract.

    A 32-bit integer becomes a 64-bit one; text does not become a number.

    Args:
        table: The table as it was read.
        columns: Arrow types by column name.

    Returns:
        The table; columns of another kind, and unknown ones, as they were.
    """
    import re

    import pyarrow
    from pyarrow import types

    kinds = [types.is_integer, types.is_floating, types.is_temporal, types.is_boolean]
    wanted = {name: pyarrow.type_for_alias(alias) for name, alias in columns.items()}

    def text(kind: pyarrow.DataType) -> bool:
        kind = kind.value_type if types.is_dictionary(kind) else kind
        return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)

    for place in reversed(range(table.num_columns)):
        name, column = table.schema.names[place], table.column(place)
        if re.fullmatch(r"__index_level_\d+__", name):
            table = table.remove_column(place)
        elif name in wanted and any(is_it(column.type) and is_it(wanted[name]) for is_it in [*kinds, text]):
            table = table.set_column(place, name, column.cast(wanted[name], safe=False))
    return table.replace_schema_metadata(None)


def column_faults(found: list[str], wanted: list[str]) -> list[str]:
    """Say which columns are missing, unexpected, or look renamed.

    Args:
        found: Column names of the table.
        wanted: Column names of the contract.

    Returns:
        A line for each fault.
    """
    import difflib

    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    plain = {name.lower().replace("_", "").replace(" ", ""): name for name in unexpected}
    faults = []
    for name in missing:
        close = difflib.get_close_matches(name.replace("_", ""), plain, n=1, cutoff=0.6)
        if close:
            renamed = plain.pop(close[0])
            unexpected.remove(renamed)
            faults.append(f"column {name!r} is missing; {renamed!r} looks like it, renamed")
        else:
            faults.append(f"column {name!r} is missing")
    return faults + [f"column {name!r} is unexpected" for name in unexpected]


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


def validate_table(path: str, schema: "pandera.DataFrameSchema", columns: dict, batch_rows: int) -> dict:
    """Validate a Parquet file against a schema, block by block, and report every fault at once.

    Args:
        path: The Parquet file.
        schema: The pandera schema.
        columns: The contract's Arrow types by column name.
        batch_rows: Rows validated at a time. Of all rows, only the columns that must be unique are kept.

    Returns:
        ``{"rows": int, "columns": int}``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no table or breaks a rule: columns, rules, counts and first rows.
    """
    import gc
    import warnings

    import pandas
    import pandera.errors
    import pyarrow

    faults: dict[tuple[str, str], dict] = {}
    with open_table(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = file.schema_arrow.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{path} has more than one column {', '.join(twice)}. Next: keep one of each name.")
        empty = as_contract(file.schema_arrow.empty_table(), columns)
        structure = column_faults(empty.schema.names, list(columns))
        known = [name for name in columns if name in empty.schema.names]
        schema = schema.remove_columns([name for name in columns if name not in known])
        unique: dict[str, list] = {name: [] for name, column in schema.columns.items() if column.unique}
        schema = schema.update_columns({name: {"unique": False} for name in unique})
        start = 0
        for batch in file.iter_batches(batch_rows, columns=known, use_threads=False):
            table = as_contract(pyarrow.Table.from_batches([batch]), columns)
            for name in known:
                try:
                    table[name].validate(full=True)
                except pyarrow.ArrowInvalid:
                    faults[name, "must be UTF-8 text"] = {"count": 0, "rows": []}
            if faults.keys() & {(name, "must be UTF-8 text") for name in known}:
                unique = {}
                break  # what is no text cannot be shown
            frame = table.to_pandas(types_mapper=pandas.ArrowDtype)
            for name, kept in unique.items():
                kept.append(table[name])
            # What pandera makes refers to itself in circles; left alone, batches pile up.
            gc.collect(1)
            try:
                schema.validate(frame, lazy=True)
            except pandera.errors.SchemaErrors as errors:
                cases = errors.failure_cases
                mistyped = set(cases.loc[cases["check"].astype(str).str.startswith("dtype("), "column"])
                for (column, check), group in cases.groupby(["column", "check"], sort=False):
                    rows = group["index"].dropna().astype(int).sort_values().tolist()
                    if column in mistyped:
                        if str(check).startswith("dtype("):
                            wanted, found = columns[column], table.schema.field(column).type
                            faults[column, f"must be of type {wanted}, found {found}"] = {"count": 0, "rows": []}
                        continue
                    rule = "must not be missing" if check == "not_nullable" else f"must be {check}"
                    fault = faults.setdefault((column, rule), {"count": 0, "rows": []})
                    fault["count"] += len(rows)
                    for row in rows[: 3 - len(fault["rows"])]:
                        song = frame["spotify_id"].iloc[row] if "spotify_id" in known else "?"
                        fault["rows"].append(f"row {start + row}, spotify_id {song}, value {frame[column].iloc[row]!r}")
            start += batch.num_rows
        for name, kept in unique.items():
            values = pyarrow.chunked_array([chunk for one in kept for chunk in one.chunks])
            rows = repeated(values)
            if len(rows):
                first = [f"row {row}, {name} {values[row]}" for row in rows[:3].tolist()]
                faults[name, "must be unique"] = {"count": len(rows), "rows": first}
        summary = {"rows": start, "columns": len(known)}
    for (column, rule), fault in faults.items():
        line = f"column {column!r} {rule}"
        if fault["count"]:
            line += f": {fault['count']} of {start} rows do not comply; first: " + "; ".join(fault["rows"])
        structure.append(line)
    if structure:
        raise ValueError(
            f"{schema.name} breaks {len(structure)} rule{'s'[: len(structure) > 1]} of its schema ({path}):\n- "
            + "\n- ".join(structure)
            + "\nNext: correct the source and run again. Nothing was stored. (Row 0 is the first.)"
        )
    return summary


def validate_songs(path: str) -> dict:
    """Validate a songs table, in blocks.

    Args:
        path: The Parquet file.

    Returns:
        ``{"rows": int, "columns": int}``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: With every fault: column, rule, count, first rows.
    """
    return validate_table(path, songs_schema(), song_columns(), batch_rows=65_536)


def validate_rankings(path: str) -> dict:
    """Validate a rankings table, in blocks, in little memory.

    Args:
        path: The Parquet file.

    Returns:
        ``{"rows": int, "columns": int}``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: With every fault: column, rule, count, first rows.
    """
    return validate_table(path, rankings_schema(), ranking_columns(), batch_rows=65_536)


def transform_songs(source: str, target: str) -> dict:
    """Write the songs in their one canonical form, so that equal tables are equal bytes.

    Columns and types of the contract, sorted by ``spotify_id``, nothing of pandas beside them.

    Args:
        source: A valid songs table, Parquet.
        target: The Parquet file to write.

    Returns:
        ``{"rows": int, "md5": str}``; the md5 is of the bytes written, the one that DVC records.
    """
    import hashlib

    import pyarrow.parquet

    with open_table(source) as file:
        table = as_contract(file.read(), song_columns()).select(list(song_columns()))
    table = table.cast(pyarrow.schema([(n, pyarrow.type_for_alias(t)) for n, t in song_columns().items()]))
    table = table.sort_by("spotify_id").combine_chunks()
    pyarrow.parquet.write_table(table, target, compression="zstd", store_schema=False)
    with open(target, "rb") as written:
        return {"rows": table.num_rows, "md5": hashlib.file_digest(written, "md5").hexdigest()}
