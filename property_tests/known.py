"""Where the pinned frameworks are known to leave their enclosures. test_equations.py checks it both ways.

A divergence that is not here fails the properties, and so does an entry here that agrees again. Each was
certified in arbitrary precision; three lines of the framework itself are enough to see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..reference.network import ACTIVATIONS, COSTS, Architecture, Cost, Layer


@dataclass(frozen=True)
class Known:
    """One known divergence: whose, in which function and precision, and why.

    ``framework`` is a framework, in any mode; or modes of some, with spaces between them.
    ``function`` is an activation or a cost; or an equation, where that itself is off, whatever the functions.
    ``shows`` "in a network": it needs what a single layer does not have, such as saturated probabilities, or it is
    in the cost's value and not in its slope. "densely": only where a function is sampled at very many points, or very
    many numbers are added up.
    """

    framework: str
    function: str
    precision: str
    reason: str
    shows: Literal["everywhere", "in a network", "densely"] = "everywhere"

    def __str__(self) -> str:
        return f"{self.framework} {self.function} {self.precision}"

    def is_about(self, implementation: str) -> bool:
        """Whether an implementation is one of these modes, or a mode of this framework."""
        return not {implementation, implementation.partition(":")[0]}.isdisjoint(self.framework.split())

    @property
    def batch(self) -> int:
        """How many examples it takes to show."""
        return 1 if self.function in (*ACTIVATIONS, *COSTS) else 4096

    def network(self) -> Architecture:
        """Give a small network with the function in it."""
        if self.function in ACTIVATIONS:
            layer = Layer(4, self.function, 0.3) if self.function == "celu" else Layer(4, self.function)
            return Architecture(3, (layer, Layer(2, "identity")), Cost("half_squared_error"))
        if self.function not in COSTS:
            return Architecture(3, (Layer(2, "identity"),), Cost("half_squared_error"))
        last = Layer(1, "sigmoid") if self.function == "binary_cross_entropy" else Layer(3, "identity")
        return Architecture(3, (Layer(4, "tanh"), last), Cost(self.function))


#: TensorFlow's elu is exp(z) - 1, which cancels for small abs(z); for the smallest it is 0.
_EXP_MINUS_ONE = "computed as exp(z) - 1, which cancels for small abs(z)"
_NOT_A_DISTRIBUTION = "the gradient is softmax - y, also where y does not sum to 1"
_FLOAT32_CONSTANT = "a constant goes through float32"
_OVERFLOW = "the sigmoid is 1 / (1 + e^-z), and e^-z overflows from z = -11.09 on: 0"
_SUM_IN_PRECISION = "the sum over the batch is added up in the precision itself"
_SUM_OF_THE_LAYER = "the sum over 512 neurons, on the way back, is added up in the precision itself"
_LOW = ("bfloat16", "float16")
_CLIPPED = "probabilities are clipped to 1e-7 from 0 and 1, and the slope is 0 there"
_BY_EXAMPLE = "each example's ∂C/∂W is rounded to the precision before they are added up"
#: Everybody who runs TensorFlow's own kernels; XLA compiles elu and selu to expm1.
_TENSORFLOW = "tensorflow:eager tensorflow:function tensorflow:forward keras:tensorflow"

_CLAMPED = "a (1 - a) is at least 1e-12, and log at least -100"
_SOFTPLUS = "tf.nn.softplus is z from log(eps) + 2 = 2.9 on, and e^z below -2.9"

KNOWN = (
    Known("torch", "softplus", "float64", "z itself above its threshold of 20: off by up to 2e-9"),
    # Not as Inductor writes it out.
    Known(
        "torch:eager torch:func torch:forward torch:checkpoint",
        "hardsigmoid",
        "float64",
        f"1/6 in the backward pass: {_FLOAT32_CONSTANT}",
    ),
    Known("torch", "celu", "float64", f"1/alpha in the backward pass: {_FLOAT32_CONSTANT}"),
    Known("torch", "binary_cross_entropy", "float64", _CLAMPED),
    Known("torch", "binary_cross_entropy", "float32", _CLAMPED),
    Known("torch", "binary_cross_entropy", "bfloat16", _CLAMPED, shows="in a network"),
    Known(
        "jax",
        "binary_cross_entropy",
        "float64",
        "the cost's log1p is off by up to 240 units from -0.414 to -0.37",
        shows="in a network",
    ),
    *(
        Known(_TENSORFLOW, name, precision, f"{_EXP_MINUS_ONE}{more}")
        for name, more in (
            ("elu", ""),
            ("selu", "; where that is 0, the slope is the one for z > 0"),
        )
        for precision in ("float64", "float32", *_LOW)
    ),
    *(
        Known("tensorflow:eager tensorflow:function tensorflow:forward", "celu", precision, _EXP_MINUS_ONE)
        for precision in ("float64", "float32", *_LOW)
    ),
    *(
        Known("keras:tensorflow", "celu", precision, "at 0 the slopes of maximum and minimum are both 1: 2")
        for precision in ("float64", "float32", *_LOW)
    ),
    Known("tensorflow keras:tensorflow", "leaky_relu", "float64", f"alpha: {_FLOAT32_CONSTANT}"),
    Known("tensorflow keras:tensorflow", "gelu", "float64", f"sqrt(1/2): {_FLOAT32_CONSTANT}"),
    Known(
        "tensorflow keras:tensorflow",
        "gelu_tanh",
        "float64",
        f"0.044715 or sqrt(2/π): {_FLOAT32_CONSTANT}",
    ),
    *(
        Known("tensorflow keras:tensorflow", "softmax_cross_entropy", precision, _NOT_A_DISTRIBUTION)
        for precision in ("float64", "float32", *_LOW)
    ),
    Known("tensorflow keras:tensorflow", "softplus", "bfloat16", _SOFTPLUS),
    Known("tensorflow:eager tensorflow:function tensorflow:forward", "log_sigmoid", "bfloat16", _SOFTPLUS),
    Known(
        "tensorflow:eager tensorflow:function",
        "softmax",
        "float32",
        "a NaN in a row leaves the others 0, and not NaN as in float64",
        shows="in a network",
    ),
    Known("tensorflow:eager tensorflow:function", "BP3", "float16", f"tf.reduce_sum: {_SUM_IN_PRECISION}"),
    Known("tensorflow", "cost", "float16", f"tf.reduce_sum: {_SUM_IN_PRECISION}", shows="densely"),
    Known("tensorflow", "log_softmax", "float16", _SUM_OF_THE_LAYER, shows="densely"),
    *(
        Known(
            "jax:jit jax:eager jax:checkpoint keras:jax",
            "BP3",
            low,
            f"the derivative of a broadcast: {_SUM_IN_PRECISION}",
        )
        for low in _LOW
    ),
    *(Known("jax keras:jax", name, "float16", _OVERFLOW) for name in ("sigmoid", "silu")),
    Known("jax", "softmax", "float16", _SUM_OF_THE_LAYER, shows="densely"),
    Known("jax", "log_softmax", "bfloat16", _SUM_OF_THE_LAYER, shows="densely"),
    *(Known("jax:vmap", "BP4", low, _BY_EXAMPLE, shows="densely") for low in _LOW),
    Known("keras", "binary_cross_entropy", "float32", _CLIPPED),
    Known("keras", "binary_cross_entropy", "bfloat16", _CLIPPED, shows="in a network"),
    Known("keras:tensorflow", "binary_cross_entropy", "float64", _CLIPPED),
    Known(
        "keras:tensorflow",
        "log_cosh",
        "float64",
        f"the cost's log 2: {_FLOAT32_CONSTANT}",
        shows="in a network",
    ),
    Known("keras:tensorflow", "BP3", "bfloat16", f"tf.raw_ops.BiasAddGrad: {_SUM_IN_PRECISION}"),
)


def blamed_functions(network: Architecture, equation: str, layer: int, name: str) -> set[str]:
    """What may be at fault where an equation does not hold: σ of the layer, the cost, or the equation itself."""
    activation = network.layers[layer - 1].activation
    if equation == "cost":
        return {network.cost.name, equation}
    if equation == "BP1":
        return {network.cost.name, activation}
    return {activation} if equation == "BP2" or name.startswith("a") else {equation}


def is_known(implementation: str, functions: set[str], precision: str) -> bool:
    """Whether a divergence of one of these functions is known of an implementation."""
    return any(
        known.is_about(implementation) and known.function in functions and known.precision == precision
        for known in KNOWN
    )
