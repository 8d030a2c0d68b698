"""Lossless casts: columns in the types of the contract, or which rows have values that would be lost.

Every function here travels into pipeline steps (package: pyarrow).
"""

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow


def as_contract(table: "pyarrow.Table", columns: dict) -> "tuple":
    """Bring the columns of a table to the types of the contract, if no value changes by it.

    Args:
        table: The table as it was read.
        columns: Arrow types by column name.

    Returns:
        The table, with those of the columns that fit; and the others by name: for each row whether its value would
        be lost, or None where the column is of another kind.
    """
    import pyarrow

    fitting, misfits = {}, {}
    for name, alias in columns.items():
        if name in table.schema.names:
            try:
                column, lost = cast_column(table[name], pyarrow.type_for_alias(alias))
            except pyarrow.ArrowException:  # a type that Arrow itself cannot cast
                column = lost = None
            if column is None:
                misfits[name] = lost
            else:
                fitting[name] = column
    return pyarrow.table(fitting), misfits


def cast_column(column: "pyarrow.ChunkedArray", wanted: "pyarrow.DataType") -> "tuple":
    """Bring a column to another type, if no value changes by it.

    Whole numbers are whole numbers however they are written: as integers of any width, floats, decimals, or flags
    where 0 and 1 are meant. A column without a single value fits every type. Text does not become a number.

    Args:
        column: The values.
        wanted: ``string``, ``bool``, ``int64``, ``double`` or ``timestamp[us]``; times are UTC.

    Returns:
        The column in the wanted type, or None where it is of another kind; and, for each row, whether its value would
        be lost (None where none would).
    """
    import pyarrow
    from pyarrow import types

    kind = column.type
    if isinstance(kind, pyarrow.BaseExtensionType):  # what is meant by it is in the columns of the contract
        column, kind = column.cast(kind.storage_type), kind.storage_type
    if types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if column.null_count == len(column):
        return pyarrow.chunked_array([pyarrow.nulls(len(column), wanted)]), None
    if types.is_string(wanted):
        # Some writers mark text as bytes only; whether it is UTF-8 is checked where rows can be named.
        texts = "string", "large_string", "string_view", "binary", "large_binary", "binary_view"
        text = str(kind) in texts or types.is_fixed_size_binary(kind)
        return (column.cast(wanted, safe=False) if text else None), None
    if types.is_timestamp(wanted):
        if not (types.is_timestamp(kind) or types.is_date(kind)):
            return None, None
        return cast_times(column, wanted)
    if types.is_decimal(kind):
        return cast_decimals(column, wanted)
    if types.is_boolean(kind):
        return (None if types.is_floating(wanted) else column.cast(wanted)), None
    if types.is_integer(kind) or types.is_floating(kind):
        return cast_numbers(column, wanted)
    return None, None


def cast_numbers(column: "pyarrow.ChunkedArray", wanted: "pyarrow.DataType") -> "tuple":
    """Bring integers or floats to ``int64``, ``double`` or ``bool``; the rest is as in `cast_column`."""
    import pyarrow
    import pyarrow.compute
    from pyarrow import types

    compute = pyarrow.compute
    if types.is_floating(column.type):
        # Minus zero is zero: the same songs are the same bytes.
        column = compute.add(column.cast("double"), 0.0)
        if types.is_floating(wanted):
            return column, None
        whole = compute.equal(compute.trunc(column), column)
        lost = compute.invert(compute.and_(whole, compute.less(compute.abs(column), 2.0**63)))
    else:
        column = column if types.is_uint64(column.type) else column.cast("int64")
        lost = compute.greater(column, pyarrow.scalar(2**63 - 1, column.type))
    if not compute.any(lost).as_py():
        column = column.cast("int64")
        if types.is_integer(wanted):
            return column, None
        low, high = (0, 1) if types.is_boolean(wanted) else (-(2**53), 2**53)
        lost = compute.or_(compute.less(column, low), compute.greater(column, high))
    return (None, lost) if compute.any(lost).as_py() else (column.cast(wanted), None)


def cast_decimals(column: "pyarrow.ChunkedArray", wanted: "pyarrow.DataType") -> "tuple":
    """Bring decimals to ``int64``, ``double`` or ``bool``; a double is meant by its shortest text, so 0.1 is 0.1."""
    import pyarrow

    number = float if pyarrow.types.is_floating(wanted) else int
    values = column.to_pylist()
    numbers = [None if value is None else number(value) for value in values]
    pairs = zip(values, numbers, strict=True)
    lost = [one is not None and (Decimal(repr(two)) != one or abs(one) >= 2**63) for one, two in pairs]
    if any(lost):
        return None, pyarrow.chunked_array([lost])
    return cast_numbers(pyarrow.chunked_array([numbers]), wanted)


def cast_times(column: "pyarrow.ChunkedArray", wanted: "pyarrow.DataType") -> "tuple":
    """Bring timestamps and dates to ``timestamp[us]`` in UTC; the rest is as in `cast_column`."""
    import pyarrow
    import pyarrow.compute
    from pyarrow import types

    compute = pyarrow.compute
    if types.is_date(column.type):
        column = column.cast(pyarrow.timestamp("s" if types.is_date32(column.type) else "ms"))
    unit = column.type.unit
    # Arrow keeps UTC inside; without its zone a time is that of UTC.
    column = column.cast(pyarrow.timestamp(unit))
    ticks = column.cast("int64")
    if unit == "ns":
        lost = compute.not_equal(compute.multiply(compute.divide(ticks, 1000), 1000), ticks)
    else:
        # The years 1 to 9999, as Python has them; Arrow itself would wrap around beyond 290,000.
        scale = {"s": 1, "ms": 10**3, "us": 10**6}[unit]
        lost = compute.or_(compute.less(ticks, -62135596800 * scale), compute.greater(ticks, 253402300799 * scale))
    return (None, lost) if compute.any(lost).as_py() else (column.cast(wanted), None)
