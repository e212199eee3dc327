"""Shards: a campaign in pieces that depend on their number alone, each finished whole or not at all.

verdicts/00012.parquet   the rows of shard 12, a Row a verdict, and its tally in the file's metadata
answers/00012.parquet    an array of numbers an answer's array, where the run keeps them
explored/00003.parquet   a round of exploring, in the same form; what is in it depends on the clock and on its past
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ..reference.network import Array, Case, MalformedError
from .campaign import Clock, Judged, Row, Settings, campaign, draw_cases
from .expectations import Expectations
from .memory import give_back
from .tally import Tally
from .workers import Worker

if TYPE_CHECKING:
    import pyarrow

#: Under this name a tally lies in its file's metadata.
_TALLY = b"gradparity.tally"

#: Where a run's shards lie: those of its campaign, and the rounds of exploring.
VERDICTS, EXPLORED = "verdicts", "explored"


class RunFolderError(Exception):
    """A folder that cannot be written or is not a finished run; the message is one sentence for a person."""


@dataclass(frozen=True)
class KeptArray:
    """One array of an answer, its components in the order of C, as float64, which holds every precision."""

    case: str
    implementation: str
    array: str
    values: Array


@dataclass(frozen=True)
class Finished:
    """One shard, judged: its files as bytes, and of how many cases."""

    number: int
    verdicts: bytes
    answers: bytes | None
    cases: int

    @property
    def tally(self) -> Tally:
        """What it comes to, as its file says."""
        import pyarrow

        return _tally_in(pyarrow.BufferReader(self.verdicts))


def judge_shards(
    settings: Settings,
    expectations: Expectations,
    numbers: Sequence[int],
    announce: Callable[[Case], None] = lambda _: None,
    judged: Callable[[Judged], None] = lambda _: None,
    workers: Sequence[Worker] | None = None,
) -> Iterator[Finished]:
    """Judge some shards, one after another without a pause between them, and give each when it is finished.

    ``announce`` is told of each case as it is begun, ``judged`` of each answer.
    """
    clock, order = Clock(), deque[tuple[Case, int]]()

    def cases() -> Iterator[Case]:
        for number in numbers:
            for case in draw_cases(settings, number):
                order.append((case, number))
                yield case

    building: Building | None = None
    for one in campaign(settings, clock, cases(), announce, workers):
        while order[0][0] is not one.case:
            order.popleft()
        if building is None or building.number != order[0][1]:
            if building is not None:
                yield building.finish(clock)
            building = Building(order[0][1], settings, expectations)
        building.add(one)
        judged(one)
    if building is not None:
        yield building.finish(clock)


class Building:
    """A shard that is not finished; ``tally`` is what it comes to so far."""

    def __init__(self, number: int, settings: Settings, expectations: Expectations) -> None:
        self.number, self._settings, self._expectations = number, settings, expectations
        self.tally, self._rows, self._kept = Tally(), list[Row](), list[KeptArray]()

    def add(self, judged: Judged) -> None:
        """Take in one implementation's judged answer to one case."""
        self._rows += self.tally.add(judged, self._expectations)
        if self._settings.answers and judged.answer.gradients:
            self._kept += [
                KeptArray(judged.case.id, judged.implementation, name, values.astype(np.float64).ravel())
                for name, values in judged.answer.gradients.tensors().items()
            ]

    def finish(self, clock: Clock) -> Finished:
        """Give the shard, with where the time went."""
        self.tally.counted.clock = clock.spent()
        verdicts = _parquet(Row, self._rows, {_TALLY: self.tally.to_bytes()})
        answers = _parquet(KeptArray, self._kept, {}) if self._settings.answers else None
        give_back()
        return Finished(self.number, verdicts, answers, self.tally.counted.cases)


def _parquet(kind: type, rows: Sequence[object], metadata: dict[bytes, bytes]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    columns = {field.name: [getattr(row, field.name) for row in rows] for field in fields(kind)}
    sink, table = pyarrow.BufferOutputStream(), pyarrow.table(columns)
    with pyarrow.parquet.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)  # as metadata of the schema it would be stored twice
    written: bytes = sink.getvalue().to_pybytes()
    return written


def write_shard(folder: Path, shard: Finished, where: str = VERDICTS) -> None:
    """Write a finished shard into a run's folder; its verdicts last, since they say that it is finished."""
    if shard.answers is not None:
        replace_file(folder / "answers" / f"{shard.number:05}.parquet", shard.answers)
    replace_file(folder / where / f"{shard.number:05}.parquet", shard.verdicts)


def finished_shards(folder: Path, where: str = VERDICTS) -> list[int]:
    """Number the shards that a run's folder holds."""
    return sorted(int(path.stem) for path in (folder / where).glob("*.parquet") if path.stem.isdecimal())


def read_tally(folder: Path, number: int, where: str = VERDICTS) -> Tally:
    """Read what a finished shard comes to. Raises RunFolderError where the file is not what was written."""
    import pyarrow

    path = folder / where / f"{number:05}.parquet"
    try:
        return _tally_in(path)
    except (OSError, pyarrow.ArrowException):
        raise RunFolderError(f"{path} is no Parquet file, or was cut short") from None
    except (KeyError, msgspec.MsgspecError, MalformedError):
        raise RunFolderError(f"{path} has no tally: another version of gradparity wrote it") from None


def _tally_in(file: Path | pyarrow.BufferReader) -> Tally:
    import pyarrow.parquet

    return Tally.from_bytes((pyarrow.parquet.read_metadata(file).metadata or {})[_TALLY])


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises RunFolderError where it cannot be written."""
    beside = path.with_name(path.name + ".part")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    except OSError as error:
        with suppress(OSError):  # where nothing can be written, nothing can be removed either
            beside.unlink(missing_ok=True)
        raise RunFolderError(f"{path} cannot be written: {error.strerror}") from None


def make_folder(path: Path) -> None:
    """Make a folder, with those above it, unless it is there. Raises RunFolderError where it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written: {error.strerror}") from None


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
            tables.append(file.read(list(columns)).replace_schema_metadata(None))
        except (OSError, pyarrow.ArrowException):
            raise RunFolderError(f"{path} is no Parquet file, or was cut short") from None
    if not tables:
        raise RunFolderError(f"{folder} holds no shards")
    try:
        return pyarrow.concat_tables(tables, promote_options="default")
    except pyarrow.ArrowException:
        raise RunFolderError(f"the shards in {folder} do not fit together") from None
