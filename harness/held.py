"""Held against its bounds: an array of the answers to a stack of cases, and what is plain to see of each."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..reference.interval import Bounds, Interval, RankOne
from ..reference.links import Links
from ..reference.network import Array

#: An interval whose radius is more than this share of the array's natural size says nothing: an answer of
#: zeros, or of the opposite sign, might pass.
WIDEST = 0.5

#: A radius of so many eta was made by underflow, which may take all of an array that is that small.
UNDERFLOW = 2.0**20


def margins(result: Array, interval: Interval) -> Array:
    """abs(result - mid) / rad: 0 where they are equal, infinite where only one is not finite."""
    with np.errstate(all="ignore"):
        off = np.abs(result - interval.mid).astype(np.float64, copy=False)
        margin = np.where(off == 0, 0, off / interval.rad)
    margin = np.where(np.isfinite(result), margin, np.inf)
    return np.where(np.isfinite(interval.rad), margin, 0.0)  # nothing is known: nobody is accused


def widest_of(interval: Bounds, least: float) -> Any:
    """Give the widest radius that still means something, of a case or for each of a stack."""
    return np.clip(WIDEST * np.asarray(interval.size), least, sys.float_info.max)


@dataclass(frozen=True)
class Held:
    """An array of the answers to a stack of cases, and its bounds."""

    result: Array
    chain: Interval | None
    link: Bounds | None
    #: What was said within narrower bounds, and of which cases that was all there is to say.
    settled: tuple[Held, Array] | None = None

    @cached_property
    def in_chain(self) -> Array:
        """The worst margin in the chain, for each case."""
        return self._worst(self.chain)

    @cached_property
    def in_link(self) -> Array:
        """The worst margin in the link, for each case."""
        worst = self._worst(self.link)
        return np.where(self.settled[1], self.settled[0].in_link, worst) if self.settled else worst

    def _worst(self, interval: Bounds | None) -> Array:
        n = len(self.result)
        if interval is None:
            return np.zeros(n)
        if isinstance(interval, RankOne):
            return interval.worst(self.result)
        with np.errstate(all="ignore"):
            off = self.result - interval.mid
            margin = np.abs(off, out=off).astype(interval.rad.dtype, copy=False)
            margin /= interval.rad
        worst = margin.reshape(n, -1).max(axis=1, initial=0.0)
        if not (worst < np.inf).all():  # or one is a NaN
            worst = margins(self.result, interval).reshape(n, -1).max(axis=1, initial=0.0)
        return np.asarray(worst)

    @cached_property
    def kinked(self) -> Array:
        """Whether a kink's hull is in it, for each case."""
        found = np.zeros(len(self.result), bool)
        for interval in (self.chain, self.link):
            found = found if interval is None else found | interval.kinked
        return np.where(self.settled[1], self.settled[0].kinked, found) if self.settled else found

    def plain(self, least: float, linked: bool) -> Array:
        """Tell of which cases there is nothing more to say: every component is in its bounds, and those are narrow.

        ``least`` is a radius made by underflow. Where a link is not finite, what a NaN or an infinity must have become
        is to be looked at.
        """
        n, narrow = len(self.result), np.zeros(len(self.result), bool)
        finite = np.full(n, not linked)
        for interval in (self.chain, self.link):
            if interval is not None:
                widest = interval.widest
                narrow |= widest <= widest_of(interval, least)
                finite |= (widest < np.inf) & (interval is self.link)
        plain = np.asarray(narrow & finite & (self.in_chain <= 1) & (self.in_link <= 1))
        return plain | self.settled[1] if self.settled else plain

    def of(self, i: int) -> tuple[Array, Interval | None, Interval | None]:
        """Give one case's array and bounds."""
        assert not isinstance(self.link, RankOne)  # whatever is not plain is held against its link
        chain, link = (None if one is None else one.of(i) for one in (self.chain, self.link))
        return self.result[i], chain, link


def hold(
    result: Array, chain: Interval | None, links: Links | None, name: str, least: float
) -> tuple[Held, Array]:
    """Hold an array of the answers against its bounds, and tell of which cases there is nothing more to say."""
    if links is None:
        held = Held(result, chain, None)
        return held, held.plain(least, linked=False)
    settled: tuple[Held, Array] | None = None
    for right in (links.strict, links.fused):
        if (bound := right(name)) is not None:
            held = Held(result, chain, bound, settled)
            if (plain := held.plain(least, linked=True)).all():
                return held, plain
            settled = held, plain
    held = Held(result, chain, links.get(name), settled)
    return held, held.plain(least, linked=True)
