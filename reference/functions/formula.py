"""The formulas that people read: written once as text, shown as MathML.

A row's formula is a Python expression of z, or of a and y, of the parameters by name, and of a few functions:
``z if z > 0 else alpha * (exp(z) - 1)``, ``1 / 2 * sum((a - y)**2)``. ``sum`` adds over the outputs of a layer; what
stands inside it is of the output that is summed over. So a test can hold each formula against what is computed.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from .row import ActivationRow, CostRow, Row

#: How tightly a piece of a formula holds together: what is looser than its surroundings is put in parentheses.
_CASES, _SUM, _PRODUCT, _POWER, _ATOM = range(5)

_GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "pi": "π"}
_RELATIONS = {ast.Lt: "<", ast.LtE: "≤", ast.Gt: ">", ast.GtE: "≥", ast.Eq: "="}
#: The symbols that get the index of their neuron, or output, where a formula has the others of the layer, too.
_VECTORS = ("z", "a", "y")
_INDICES = "jkl"

_TIMES, _APPLY = "<mo>&#x2062;</mo>", "<mo>&#x2061;</mo>"


class _Piece(NamedTuple):
    xml: str
    holds: int

    def within(self, holds: int) -> str:
        """Return the piece as it stands inside of something that holds so tightly."""
        return self.xml if self.holds >= holds else f"<mrow><mo>(</mo>{self.xml}<mo>)</mo></mrow>"


def mathml(row: Row) -> str:
    """Return a function's definition as a MathML element: σ(z) = .., or C = .., of one example."""
    if isinstance(row, CostRow):
        return _equation("<mi>C</mi>", row.formula, "")
    index = "j" if isinstance(row, ActivationRow) and row.coupled else ""
    return _equation(_applied("<mi>σ</mi>", [_Piece("<mi>z</mi>", _ATOM)], index), row.formula, index)


def slope_mathml(row: Row) -> str:
    """Return a function's slope in the same way: σ′(z) = .., or ∂C/∂a_j = ..; empty where the row has none."""
    if not row.slope:
        return ""
    if isinstance(row, CostRow):
        left = f"<mfrac><mrow><mo>∂</mo><mi>C</mi></mrow><mrow><mo>∂</mo>{_indexed('a', 'j')}</mrow></mfrac>"
        return _equation(left, row.slope, "j")
    return _equation(
        _applied("<msup><mi>σ</mi><mo>′</mo></msup>", [_Piece("<mi>z</mi>", _ATOM)]), row.slope, ""
    )


def _equation(left: str, formula: str, index: str) -> str:
    right = _Writer(formula, index).written().xml
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML"><mrow>{left}<mo>=</mo>{right}</mrow></math>'


def _indexed(name: str, index: str) -> str:
    return f"<msub><mi>{name}</mi><mi>{index}</mi></msub>" if index else f"<mi>{name}</mi>"


def _applied(function: str, arguments: Sequence[_Piece], index: str = "") -> str:
    inside = "<mo>,</mo>".join(one.xml for one in arguments)
    call = f"<mrow>{function}{_APPLY}<mrow><mo>(</mo>{inside}<mo>)</mo></mrow></mrow>"
    return f"<msub>{call}<mi>{index}</mi></msub>" if index else call


class _Writer:
    """Writes an expression; ``index`` is that of the neuron or output in question, where others occur as well."""

    def __init__(self, formula: str, index: str) -> None:
        self.formula, self.index = formula, index

    def written(self) -> _Piece:
        return self.write(ast.parse(self.formula, mode="eval").body)

    def write(self, node: ast.AST) -> _Piece:
        """Write a node by the method that has its type's name; raises AttributeError where there is none."""
        piece: _Piece = getattr(self, type(node).__name__.lower())(node)
        return piece

    def constant(self, node: ast.Constant) -> _Piece:
        # As it is written: a float would not hold all of its digits.
        return _Piece(f"<mn>{ast.get_source_segment(self.formula, node)}</mn>", _ATOM)

    def name(self, node: ast.Name) -> _Piece:
        index = self.index if node.id in _VECTORS else ""
        return _Piece(_indexed(_GREEK.get(node.id, node.id), index), _ATOM)

    def unaryop(self, node: ast.UnaryOp) -> _Piece:
        return _Piece(f"<mrow><mo>-</mo>{self.write(node.operand).within(_PRODUCT)}</mrow>", _SUM)

    def binop(self, node: ast.BinOp) -> _Piece:
        left, right = self.write(node.left), self.write(node.right)
        match node.op:
            case ast.Add():
                return _Piece(f"<mrow>{left.within(_SUM)}<mo>+</mo>{right.within(_SUM)}</mrow>", _SUM)
            case ast.Sub():
                return _Piece(f"<mrow>{left.within(_SUM)}<mo>-</mo>{right.within(_PRODUCT)}</mrow>", _SUM)
            case ast.Div():
                return _Piece(f"<mfrac><mrow>{left.xml}</mrow><mrow>{right.xml}</mrow></mfrac>", _POWER)
            case ast.Pow():
                return _Piece(f"<msup>{left.within(_ATOM)}{right.within(_CASES)}</msup>", _POWER)
        numbers = isinstance(node.right, ast.Constant)
        times = "<mo>·</mo>" if numbers else _TIMES
        return _Piece(f"<mrow>{left.within(_PRODUCT)}{times}{right.within(_PRODUCT)}</mrow>", _PRODUCT)

    def compare(self, node: ast.Compare) -> _Piece:
        relations = (f"<mo>{escape(_RELATIONS[type(op)])}</mo>" for op in node.ops)
        rest = "".join(
            relation + self.write(one).xml for relation, one in zip(relations, node.comparators, strict=True)
        )
        return _Piece(f"<mrow>{self.write(node.left).xml}{rest}</mrow>", _CASES)

    def ifexp(self, node: ast.IfExp) -> _Piece:
        rows, rest = list[str](), node
        while isinstance(rest, ast.IfExp):
            rows.append(_case(self.write(rest.body).xml, f"<mtext>if </mtext>{self.write(rest.test).xml}"))
            rest = rest.orelse  # type: ignore[assignment]  # which may be anything in the end
        rows.append(_case(self.write(rest).xml, "<mtext>otherwise</mtext>"))
        return _Piece(f"<mrow><mo>{{</mo><mtable>{''.join(rows)}</mtable></mrow>", _CASES)

    def call(self, node: ast.Call) -> _Piece:
        assert isinstance(node.func, ast.Name)
        function = node.func.id
        if function == "sum":
            return self._sum(node.args[0])
        arguments = [self.write(one) for one in node.args]
        inside = arguments[0].xml
        if function == "exp":
            return _Piece(f"<msup><mi>e</mi><mrow>{inside}</mrow></msup>", _POWER)
        if function == "sqrt":
            return _Piece(f"<msqrt>{inside}</msqrt>", _ATOM)
        if function == "abs":
            return _Piece(f"<mrow><mo>|</mo>{inside}<mo>|</mo></mrow>", _ATOM)
        return _Piece(_applied(f"<mi>{function}</mi>", arguments), _POWER)

    def _sum(self, node: ast.AST) -> _Piece:
        index = _INDICES[_INDICES.find(self.index) + 1] if self.index else "j"
        inside = _Writer(self.formula, index).write(node)
        summand = (
            inside.xml if isinstance(node, ast.IfExp) else inside.within(_PRODUCT)
        )  # a brace holds together
        return _Piece(f"<mrow><munder><mo>∑</mo><mi>{index}</mi></munder>{summand}</mrow>", _PRODUCT)


def _case(value: str, condition: str) -> str:
    return f"<mtr><mtd>{value}</mtd><mtd>{condition}</mtd></mtr>"
