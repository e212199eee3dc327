"""What a million verdicts come to, for charts and tables: counted where they lie, by columns and never by rows.

Everything here is small: as many numbers as there are implementations, precisions and kinds of networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Margins are counted in bins, ten to a decade: those of bin b are at most 10^(b / 10). What is below the lowest is
#: counted with what is exact.
BINS_A_DECADE, LOWEST = 10, -60

_COLUMNS = ("case", "regime", "precision", "cost", "depth", "batch", "implementation", "layer", "array", "activation",
            "verdict", "margin", "kinked", "components")  # fmt: skip
_TEXTS = ("case", "regime", "precision", "cost", "implementation", "array", "activation", "verdict")

Grouped = list[dict[str, Any]]


@dataclass(frozen=True)
class Aggregates:
    """What the rows of a run come to. Margins are of what agrees, away from kinks, where 1 is a choice of side.

    ``rows`` is how many verdicts a group has, ``margin`` the worst of them.
    """

    #: By implementation, precision and bin.
    margins: Grouped
    #: By implementation, precision, activation and cost; depth; and the power of two that a layer's width is up to.
    pairs: Grouped
    depths: Grouped
    widths: Grouped
    #: By kind (regime, cost, activation), name and verdict.
    verdicts: Mapping[str, Grouped]
    #: How many cases there are of each precision and batch size; layers of each width; cases by the activation of the
    #: output layer and the cost.
    precisions: Mapping[str, int]
    batches: Mapping[int, int]
    layer_widths: Mapping[int, int]
    outputs: Mapping[tuple[str, str], int]


def aggregate(folder: Path) -> Aggregates | None:
    """Count the rows of a run's folder; None where it holds none that can be read."""
    import pyarrow
    import pyarrow.compute as pc

    try:
        table = _rows(sorted((folder / "verdicts").glob("*.parquet")))
    except (OSError, pyarrow.ArrowException, LookupError):
        return None
    if table is None:
        return None
    agrees = table.filter(pc.and_(pc.equal(table["verdict"], "agrees"), pc.invert(table["kinked"])))
    agrees = agrees.append_column("bin", _bins(agrees["margin"]))
    whose = ["implementation", "precision"]
    asked = table.group_by(["case", "precision", "batch"]).aggregate([])
    layers = table.filter(pc.starts_with(_text(table["array"]), "db"))
    layers = layers.group_by(["case", "layer", "components"]).aggregate([])
    last = table.filter(
        pc.equal(_text(table["array"]), pc.binary_join_element_wise("delta", _text(table["depth"]), ""))
    )
    last = last.group_by(["case", "activation", "cost"]).aggregate([])
    return Aggregates(
        margins=_grouped(agrees, [*whose, "bin"]),
        pairs=_grouped(agrees, [*whose, "activation", "cost"]),
        depths=_grouped(agrees, [*whose, "depth"]),
        widths=_grouped(_with_widths(agrees), [*whose, "width"]),
        verdicts={
            kind: table.group_by([kind, "verdict"]).aggregate([([], "count_all")]).rename_columns(
                ["name", "verdict", "rows"]).to_pylist()
            for kind in ("regime", "cost", "activation")
        },
        precisions=_counted(asked, "precision"),
        batches=_counted(asked, "batch"),
        layer_widths=_counted(layers, "components"),
        outputs={
            (one["activation"], one["cost"]): one["count_all"]
            for one in last.group_by(["activation", "cost"]).aggregate([([], "count_all")]).to_pylist()
        },
    )  # fmt: skip


def _rows(files: Sequence[Path]) -> Any:
    import pyarrow
    import pyarrow.parquet

    tables = [
        pyarrow.parquet.ParquetFile(path, read_dictionary=list(_TEXTS))
        .read(list(_COLUMNS))
        .replace_schema_metadata(None)
        for path in files
    ]
    if not tables:
        return None
    return pyarrow.concat_tables(tables).unify_dictionaries().combine_chunks()


def _text(column: Any) -> Any:
    """Give the texts of a column that is stored as numbers of texts."""
    import pyarrow

    return column.cast(pyarrow.string())


def _bins(margins: Any) -> Any:
    import pyarrow
    import pyarrow.compute as pc

    exponents = pc.ceil(pc.multiply(pc.log10(margins), float(BINS_A_DECADE)))  # of 0 it is minus infinity
    return pc.min_element_wise(pc.max_element_wise(exponents, float(LOWEST)), 0.0).cast(pyarrow.int32())


def _with_widths(table: Any) -> Any:
    """Add the power of two that a layer's width is up to, where an array tells it, as dW and the cost do not."""
    import pyarrow
    import pyarrow.compute as pc

    name = _text(table["array"])
    table = table.filter(pc.invert(pc.or_(pc.starts_with(name, "dW"), pc.equal(name, "cost"))))
    biases, number = pc.starts_with(_text(table["array"]), "db"), table["components"]
    width = pc.if_else(biases, number, pc.divide(number, table["batch"])).cast(pyarrow.float64())
    return table.append_column("width", pc.power(2.0, pc.ceil(pc.log2(width))).cast(pyarrow.int64()))


def _grouped(table: Any, keys: list[str]) -> Grouped:
    found = table.group_by(keys).aggregate([([], "count_all"), ("margin", "max")])
    grouped: Grouped = found.rename_columns([*keys, "rows", "margin"]).to_pylist()
    return grouped


def _counted(table: Any, key: str) -> dict[Any, int]:
    found = table.group_by([key]).aggregate([([], "count_all")]).to_pylist()
    return {one[key]: one["count_all"] for one in sorted(found, key=lambda one: str(one[key]).zfill(9))}
