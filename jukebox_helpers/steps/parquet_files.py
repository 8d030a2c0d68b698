"""Opening Parquet files, and saying in words what is wrong with those that cannot be read.

Every function here travels into pipeline steps (package: pyarrow).
"""

from typing import TYPE_CHECKING

from jukebox_helpers.steps.messages import shown

if TYPE_CHECKING:
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
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False, page_checksum_verification=True)
        rows, _ = file.metadata.num_rows, file.schema_arrow.names
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f"There is no file {path}. Next: check where the table comes from.") from None
        if "crypt" in str(error):
            raise unreadable(path, error) from None
        raise ValueError(
            f"{path} is not a readable Parquet file ({shown(str(error), 120)}). "
            "Next: check that the address points at the data itself, not at a web page about it."
        ) from None
    if rows == 0:
        file.close()
        raise ValueError(f"{path} is a table without rows. Next: check the source, it has published nothing.")
    return file


def unreadable(path: str, error: Exception) -> ValueError:
    """Say why a Parquet file that could be opened cannot be read.

    Args:
        path: The file.
        error: What pyarrow raised.

    Returns:
        The exception to raise instead.
    """
    if "crypt" in str(error):
        return ValueError(
            f"{path} is encrypted, in part at least ({shown(str(error), 120)}), and this pipeline has no key. "
            "Nothing was stored. Next: publish the table without encryption."
        )
    return ValueError(
        f"{path} is damaged: a Parquet file whose content cannot be read ({shown(str(error), 120)}). "
        "Nothing was stored. Next: copy it from its source again; if it is damaged there, too, publish it anew."
    )
