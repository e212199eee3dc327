"""One row a function: its text, as the users of a library write it, and which of the library's functions that is.

An adapter judges what is compiled from the text, and a stand-alone program is printed from it, so the two cannot
differ. To add a function to a library, add its row: nothing else in an adapter lists functions.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..reference.network import Array

Function = Callable[..., Any]
#: What the names in a text stand for: the path of a module or of what it holds, or a function itself.
Names = Mapping[str, str | Function]


@dataclass(frozen=True)
class Row:
    """One function: its text, and the label that says what is judged.

    The text of an activation is an expression of z; the text of a cost is an expression of a and y. Every other name
    in it is a module, a builtin, or a parameter of the function. Parameters are passed in the order in which the text
    first names them. A text may also be a whole ``def``, with the parameters after z, or after a and y. The label may
    be left out where the text is a call of one of the library's functions.
    """

    text: str
    label: str = ""
    #: The text of a cost where y is one-hot, and is given as the class of each example.
    classes: str = ""

    def classes_of(self, y: Array) -> Array | None:
        """Return the class of each example, or None where the row takes y as it is."""
        if not self.classes:
            return None
        found: Array = y.argmax(axis=1)
        return found if np.array_equal(y, np.eye(y.shape[1])[found]) else None


Rows = Mapping[str, Row]


@dataclass(frozen=True)
class Text:
    """A text that was read, the name of its function, and the names that are no parameters of it."""

    name: str
    source: str
    known: frozenset[str] = frozenset()

    @cached_property
    def tree(self) -> ast.Module:
        """The text as Python reads it."""
        return ast.parse(self.lines)

    @cached_property
    def lines(self) -> str:
        """The text without its indentation."""
        return inspect.cleandoc(self.source)

    @property
    def defines(self) -> bool:
        """Whether the text is a whole ``def``."""
        return isinstance(self.tree.body[0], ast.FunctionDef)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every name that an expression uses, in the order in which it first does."""
        found = [node for node in ast.walk(self.tree) if isinstance(node, ast.Name)]
        found.sort(key=lambda node: (node.lineno, node.col_offset))
        return tuple(dict.fromkeys(node.id for node in found))

    @property
    def arguments(self) -> tuple[str, ...]:
        """What an expression is a function of."""
        inputs = ("z",) if "z" in self.names else ("a", "y")
        free = [name for name in self.names if name not in self.known and not hasattr(builtins, name)]
        return (*inputs, *(name for name in free if name not in inputs))

    @property
    def definition(self) -> str:
        """The function as a ``def``."""
        if self.defines:
            return self.lines
        return f"def {self.name}({', '.join(self.arguments)}):\n    return {self.lines}"

    def applied(self, values: Sequence[str]) -> str:
        """Write down the function of these values: a call of what is defined, or the expression with them in place."""
        if self.defines:
            return f"{self.name}({', '.join(values)})"
        given = dict(zip(self.arguments, values, strict=True))
        return ast.unparse(_Replaced(given).visit(ast.parse(self.lines)))

    def called(self) -> str:
        """Return the dotted name of the one function that an expression calls with what it is given, or nothing."""
        match self.tree.body:
            case [ast.Expr(ast.Call(func, arguments, keywords))]:
                given = [*arguments, *(keyword.value for keyword in keywords)]
                name = ast.unparse(func)
                if all(map(_plain, given)) and all(part.isidentifier() for part in name.split(".")):
                    return name
        return ""


class _Replaced(ast.NodeTransformer):
    """Puts other names, or numbers, in the place of names."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._given.get(node.id, node.id))


def _plain(given: ast.expr) -> bool:
    """Whether an argument is a name or a constant, and nothing computed."""
    number = given.operand if isinstance(given, ast.UnaryOp) else given
    return isinstance(given, ast.Name) or isinstance(number, ast.Constant)


def compiled(rows: Rows, names: Names, library: str) -> dict[str, Function]:
    """Compile every row to its function; import what the texts name."""
    scope = {name: pkgutil.resolve_name(one) if isinstance(one, str) else one for name, one in names.items()}
    return {
        name: _compiled(Text(name, row.text, frozenset(names)), scope, library) for name, row in rows.items()
    }


def _compiled(text: Text, scope: dict[str, Any], library: str) -> Function:
    source, file = text.definition + "\n", f"<{library}: {text.name}>"
    # Tracebacks show the lines of a text, and compilers that read the source of a function find it.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    # It is bound apart, since its text may name a function that is called like itself.
    found: dict[str, Function] = {}
    exec(compile(source, file, "exec"), scope, found)
    return found[text.name]


def labels(rows: Rows, names: Names) -> dict[str, str]:
    """Say for every row which function is judged."""
    return {
        name: row.label or _label(Text(name, row.text, frozenset(names)), names) for name, row in rows.items()
    }


def _label(text: Text, names: Names) -> str:
    if not text.called():
        raise ValueError(f"{text.name} needs a label: {text.lines!r} is not a call of one function")
    first, dot, rest = text.called().partition(".")
    home = names.get(first, first)
    # What a library holds is spelled out; the library itself is called as its users call it, tf for example.
    return f"{home if isinstance(home, str) and '.' in home else first}{dot}{rest}"


@dataclass(frozen=True)
class Idiom:
    """How a framework is written: its functions, its modules by the names that programs give them, and its arrays."""

    modules: Mapping[str, str]
    #: An array of ``{values}`` in a ``{precision}``.
    array: str
    #: Activations, and costs, which are summed over outputs and batch.
    rows: Rows
    #: What a program sets before it computes, if anything.
    setting: str = ""

    @property
    def library(self) -> str:
        """The framework's own name."""
        return next(iter(self.modules.values()))

    @cached_property
    def names(self) -> Mapping[str, str]:
        """What the names in the texts stand for."""
        return {**self.modules, "math": "math"}

    def functions(self) -> dict[str, Function]:
        """Import the framework and compile all functions."""
        return compiled(self.rows, self.names, self.library)

    def functions_of_classes(self) -> dict[str, Function]:
        """Compile the costs that take the class of each example in the place of a one-hot y."""
        rows = {name: Row(row.classes) for name, row in self.rows.items() if row.classes}
        return compiled(rows, self.names, f"{self.library}, of classes")

    def labels(self) -> dict[str, str]:
        """Say for every activation and cost which of the framework's functions is judged."""
        return labels(self.rows, self.names)

    def text(self, function: str, *, of_classes: bool = False) -> Text:
        """Read the text of a function, or its text of classes."""
        row = self.rows[function]
        return Text(function, row.classes if of_classes else row.text, frozenset(self.names))
