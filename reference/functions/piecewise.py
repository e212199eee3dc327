"""Activations made of straight pieces, and hardswish, whose middle piece is a parabola."""

from __future__ import annotations

from ..elementary import constant
from ..number import Number
from ..scalar import Piece, Scalar
from .elementwise import Elementwise, flat, itself, line, linear, one, product_rule, zero


def identity() -> Elementwise:
    """Make z itself."""
    return Elementwise(Scalar((line(),)))


def relu() -> Elementwise:
    """Make max(0, z)."""
    return Elementwise(Scalar((flat(0, hi=0), line(lo=0))))


def relu6() -> Elementwise:
    """Make z held between 0 and 6."""
    return Elementwise(Scalar((flat(0, hi=0), line(0, 6), flat(6, lo=6))))


def leaky_relu(alpha: float) -> Elementwise:
    """Make z above zero and alpha z below."""
    return Elementwise(Scalar((linear(alpha, hi=0), line(lo=0))))


def hardtanh() -> Elementwise:
    """Make z held between -1 and 1."""
    return Elementwise(Scalar((flat(-1, hi=-1), line(-1, 1), flat(1, lo=1))))


_SIXTH = "0.16666666666666666666666666666666666667"


def _six_sixths(z: Number) -> Number:
    """What min(max(z + 3, 0), 6) / 6 is above 3, for those who multiply by a rounded sixth."""
    return constant(6, z) * constant(_SIXTH, z)


def hardsigmoid() -> Elementwise:
    """Make z/6 + 1/2 held between 0 and 1."""
    ramp = Piece(
        [lambda z: z / 6 + 0.5, lambda z: (z + 3) / 6, lambda z: z * constant(_SIXTH, z) + 0.5,
         lambda z: (z + 3) * constant(_SIXTH, z)],
        [lambda z: constant(1, z) / 6, lambda z: constant(_SIXTH, z)],
        zero,
        -3,
        3,
    )  # fmt: skip
    full = Piece([one, _six_sixths], [zero], zero, lo=3)
    return Elementwise(Scalar((flat(0, hi=-3), ramp, full)))


def hardswish() -> Elementwise:
    """Make z times hardsigmoid."""
    bend = Piece(
        [lambda z: z * (z + 3) / 6, lambda z: z * (z / 6 + 0.5), lambda z: z * ((z + 3) * constant(_SIXTH, z))],
        [lambda z: z / 3 + 0.5, lambda z: (2 * z + 3) / 6, lambda z: product_rule((z + 3) / 6, z / 6),
         lambda z: product_rule((z + 3) * constant(_SIXTH, z), z * constant(_SIXTH, z))],
        lambda z: constant(1, z) / 3,
        -3,
        3,
    )  # fmt: skip
    above = Piece(
        [itself, lambda z: z * constant(6, z) / 6, lambda z: z * _six_sixths(z)],
        [one, _six_sixths],
        zero,
        lo=3,
    )
    return Elementwise(Scalar((flat(0, hi=-3), bend, above)), lambda size: 6 + size)
