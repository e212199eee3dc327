"""The formulas that people read of functions, evaluated in arbitrary precision for one example."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb
from gradparity.reference.functions.row import Row


def _each(function: Callable[..., Any], arguments: int = 1) -> Any:
    """Make a function of numbers one of arrays as well."""
    return np.frompyfunc(function, arguments, 1)


class _Exactly(ast.NodeTransformer):
    """Makes a formula one of arrays in arbitrary precision: digits as they are written, both branches of a choice."""

    def __init__(self, formula: str) -> None:
        self.formula = formula

    def _call(self, function: str, *arguments: ast.expr) -> ast.Call:
        return ast.Call(ast.Name(function, ast.Load()), list(arguments), [])

    def visit_Constant(self, node: ast.Constant) -> ast.Call:
        digits = ast.get_source_segment(self.formula, node)
        return self._call("number", ast.Constant(digits))

    def visit_IfExp(self, node: ast.IfExp) -> ast.Call:
        return self._call("choose", *map(self.visit, (node.test, node.body, node.orelse)))

    def visit_Compare(self, node: ast.Compare) -> ast.Call:
        """Hold a chain of relations link by link, since an array has no truth."""
        terms = [self.visit(one) for one in (node.left, *node.comparators)]
        pairs = [
            ast.Compare(left, [op], [right])
            for left, op, right in zip(terms[:-1], node.ops, terms[1:], strict=True)
        ]
        return self._call("every", *pairs)


NUMBERS: dict[str, Any] = {
    "number": arb,
    "choose": _each(lambda test, one, other: one if test else other, 3),
    "every": lambda *tests: functools.reduce(np.logical_and, tests),
    "exp": _each(lambda x: x.exp()),
    "log": _each(lambda x: x.log() if x != 0 else arb(0)),  # 0 log 0 is 0, and it stands nowhere else
    "sqrt": _each(lambda x: x.sqrt()),
    "erf": _each(lambda x: x.erf()),
    "tanh": _each(lambda x: x.tanh()),
    "cosh": _each(lambda x: x.cosh()),
    "sigmoid": _each(lambda x: 1 / (1 + (-x).exp())),
    "abs": _each(abs),
    "min": _each(min, 2),
    "max": _each(max, 2),
    "sum": lambda x: x.sum(),
}


def evaluated(formula: str, row: Row, parameters: tuple[float, ...], **arguments: Any) -> Any:
    """Evaluate what people read of a function, for one example."""
    tree = ast.fix_missing_locations(_Exactly(formula).visit(ast.parse(formula, mode="eval")))
    named = {name: arb(value) for name, value in row.named(parameters).items()}
    return eval(compile(tree, formula, "eval"), {**NUMBERS, "pi": arb.pi(), **named, **arguments})
