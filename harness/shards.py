"""A run's rows on disk: Parquet files of bounded size, each written whole and then renamed.

verdicts/00000.parquet   a Row a verdict
answers/00000.parquet    an array of numbers an answer's array, where the run keeps them
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow


class RunFolderError(Exception):
    """A folder that cannot be written or is not a finished run; the message is one sentence for a person."""


class Shards:
    """Rows on their way to disk: columns of equal length, and a new file whenever they weigh ``most``."""

    def __init__(self, folder: Path, columns: Sequence[str], most: int) -> None:
        self._folder, self._most, self._weight, self._written = folder, most, 0, 0
        self._columns: dict[str, list[Any]] = {name: [] for name in columns}
        folder.mkdir(parents=True)

    def add(self, row: object, weight: int = 1) -> None:
        """Take in one row, an object with an attribute for each column."""
        for name, column in self._columns.items():
            column.append(getattr(row, name))
        self._weight += weight
        if self._weight >= self._most:
            self.flush()

    def flush(self) -> None:
        """Write what there is."""
        if not any(self._columns.values()):
            return
        import pyarrow
        import pyarrow.parquet

        sink = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(pyarrow.table(self._columns), sink, compression="zstd")
        replace_file(self._folder / f"{self._written:05}.parquet", sink.getvalue().to_pybytes())
        self._columns = {name: [] for name in self._columns}
        self._weight, self._written = 0, self._written + 1


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(content)
    os.replace(beside, path)


def read_shards(folder: Path, columns: Sequence[str]) -> pyarrow.Table:
    """Read some columns of all shards in a folder. Raises RunFolderError where one is not what was written."""
    import pyarrow
    import pyarrow.parquet

    tables = []
    for path in sorted(folder.glob("*.parquet")):
        try:
            file = pyarrow.parquet.ParquetFile(path)
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise RunFolderError(
                    f"{path} has no column {missing[0]!r}: another version of gradparity wrote it"
                )
            tables.append(file.read(list(columns)))
        except (OSError, pyarrow.ArrowException):
            raise RunFolderError(f"{path} is no Parquet file, or was cut short") from None
    if not tables:
        raise RunFolderError(f"{folder} holds no shards")
    try:
        return pyarrow.concat_tables(tables)
    except pyarrow.ArrowException:
        raise RunFolderError(f"the shards in {folder} do not fit together") from None
