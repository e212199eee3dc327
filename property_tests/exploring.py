"""Cases that can be climbed: whatever makes a margin grow is a number of its own, which Hypothesis may turn further.

A campaign's values come from one seed, and nobody knows which way a seed is up. Here the seed gives a start, and each
layer has two knobs on top of it, the scale of what comes in and the place on the axis of z; they reach far beyond what
any regime draws. Networks are small: they are asked quickly, and a margin is not averaged over many neurons.
"""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

from ..reference.network import Array, Case, Parameters
from .regimes import REGIMES, case
from .strategies import architectures

DEEPEST, WIDEST, LARGEST_BATCH = 3, 3, 3

#: A knob is one number, so that nothing else has to change when it is turned. Most are turned a little, and few far: up
#: to 2^±40, and to ±256. A power of two leaves every rounding as it was, so that what grows is no accident.
_SCALES = st.integers(-40, 40).map(lambda k: int(k * abs(k) / 40))
_SHIFTS = st.integers(-1024, 1024).map(lambda k: 256 * (k / 1024) ** 3)


@st.composite
def climbable(
    draw: st.DrawFn, precisions: tuple[str, ...], activations: tuple[str, ...], costs: tuple[str, ...]
) -> Case:
    """Draw a small case whose scales and places on the axis of z are drawn one by one."""
    network = draw(
        architectures(draw(st.sampled_from(costs)), activations=activations, deepest=DEEPEST, widest=WIDEST)
    )
    batch, regime = draw(st.integers(1, LARGEST_BATCH)), draw(st.sampled_from(REGIMES))
    precision = draw(st.sampled_from(precisions))
    start = case(network, batch, regime, draw(st.integers(0, 2**16)), precision)
    parameters = Parameters(
        tuple(_turned(W, draw(_SCALES)) for W in start.parameters.weights),
        tuple(_turned(b, 0, draw(_SHIFTS)) for b in start.parameters.biases),
    )
    return replace(start, parameters=parameters, x=_turned(start.x, draw(_SCALES)))


def _turned(array: Array, scale: int, shift: float = 0.0) -> Array:
    """Give the array times 2^scale, plus the shift, and stop at the largest number of its precision."""
    dtype = array.dtype
    largest = float(ml_dtypes.finfo(dtype).max)
    turned = np.ldexp(array.astype(np.float64), scale) + shift
    return np.clip(turned, -largest, largest).astype(dtype)
