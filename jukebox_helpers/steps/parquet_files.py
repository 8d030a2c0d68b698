"""Opening Parquet files, and saying in words what is wrong with those that cannot be read.

All of it travels into pipeline steps (package: pyarrow).
"""

from typing import TYPE_CHECKING

from jukebox_helpers.steps.messages import shown

if TYPE_CHECKING:
    import pyarrow.parquet


def open_table(path: str) -> "pyarrow.parquet.ParquetFile":
    """Open a Parquet file that has rows; the caller closes it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a Parquet file or has no rows.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False, page_checksum_verification=True)
        rows, _ = file.metadata.num_rows, file.schema_arrow.names
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {path}. Next: check where the table comes from.") from None
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        fix = "check that the address points at the data itself, not at a web page about it"
        raise unreadable(path, error, "is not a readable Parquet file", fix) from None
    if rows == 0:
        file.close()
        raise ValueError(f"{path} is a table without rows. Next: check the source, it has published nothing.")
    return file


def unreadable(
    path: str,
    error: Exception,
    what: str = "is damaged: a Parquet file whose content cannot be read",
    fix: str = "copy it from its source again; if it is damaged there, too, publish it anew",
) -> ValueError:
    """The exception to raise for a Parquet file that cannot be read."""
    if "crypt" in str(error):
        what, fix = "is encrypted, in part at least", "publish the table without encryption"
    return ValueError(f"{path} {what} ({shown(str(error), 120)}). Nothing was stored. Next: {fix}.")
