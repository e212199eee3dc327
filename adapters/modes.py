"""The catalogue of modes: every implementation that ships with gradparity, and what is known of it.

A mode is one way to run a framework, as ``torch:eager`` is; its row says how a run treats it. What all modes of a
framework share is said once, in the framework's row. The rows are plain data, so that whoever reads them imports
neither a framework nor an adapter.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..reference.premise import Premise


@dataclass(frozen=True)
class Framework:
    """What all modes of one framework share; gradparity's own equations have a row, too."""

    #: As names begin, for example ``torch``: also its adapter's file, and the pip extra that installs it.
    name: str
    #: What people call it.
    title: str
    #: The module that must be importable, or nothing where gradparity brings it. The name itself would not do for mlx,
    #: which is only a folder that distributions share.
    module: str
    #: Whether it can be told a device, as in ``torch:eager@cuda``.
    on_devices: bool = False
    #: Whether ``--modes all`` judges its modes.
    in_all: bool = False

    @property
    def modes(self) -> tuple[str, ...]:
        """Return the names of its modes. Its users meet the first one first; stand-alone programs are written in it."""
        return tuple(mode.name for mode in MODES.values() if mode.framework is self)


@dataclass(frozen=True)
class Mode:
    """One mode of a framework, and how a run treats it."""

    #: As the command line calls it, for example ``torch:eager``: a framework's name and, after the colon, the mode.
    name: str
    #: Whether it is judged when nobody is named.
    default: bool = False
    #: Whether it takes seconds for each architecture, to compile it or to differentiate by one component at a time.
    #: ``--modes all`` asks it about a pool of architectures only.
    expensive: bool = False
    #: Whether it differentiates forward, by one component at a time, and carries no δ back: ∂C/∂W, ∂C/∂b and δ are
    #: rounded apart, and no equation connects one with another beyond the exact one.
    forward: bool = False
    #: Which of its arrays are computed from one another. Where none is, links between them say nothing.
    premise: Premise = Premise.OWN
    #: The other framework that it runs on, which must be installed as well.
    backend: str | None = None

    @property
    def framework(self) -> Framework:
        """Return the row of its framework."""
        return FRAMEWORKS[self.name.partition(":")[0]]

    @property
    def needs(self) -> tuple[Framework, ...]:
        """Return the frameworks that must be installed, its own first; none for what gradparity brings."""
        both = (self.framework, *([FRAMEWORKS[self.backend]] if self.backend else ()))
        return tuple(one for one in both if one.module)


#: Every framework, by name.
FRAMEWORKS = {
    one.name: one
    for one in (
        Framework("reference", "The reference", ""),
        Framework("torch", "PyTorch", "torch", on_devices=True, in_all=True),
        Framework("tensorflow", "TensorFlow", "tensorflow", on_devices=True, in_all=True),
        Framework("jax", "JAX", "jax", on_devices=True, in_all=True),
        Framework("keras", "Keras", "keras", in_all=True),
        Framework("autograd", "Autograd", "autograd"),
        Framework("casadi", "CasADi", "casadi"),
        Framework("mlx", "MLX", "mlx.core"),
        Framework("mygrad", "MyGrad", "mygrad"),
        Framework("paddle", "PaddlePaddle", "paddle"),
        Framework("pytensor", "PyTensor", "pytensor"),
        Framework("sklearn", "scikit-learn", "sklearn"),
        Framework("tinygrad", "tinygrad", "tinygrad"),
    )
}

#: Every mode, by name, in the order in which they are listed.
MODES = {
    one.name: one
    for one in (
        Mode("reference"),
        Mode("torch:eager", default=True),
        Mode("torch:compile", expensive=True),
        Mode("torch:func"),
        Mode("torch:forward", expensive=True, forward=True, premise=Premise.CHAIN),
        Mode("torch:checkpoint"),
        Mode("torch:strided"),
        Mode("tensorflow:eager", default=True),
        Mode("tensorflow:function", default=True),
        Mode("tensorflow:xla", expensive=True),
        Mode("tensorflow:forward", expensive=True, forward=True, premise=Premise.CHAIN),
        Mode("jax:jit", default=True),
        Mode("jax:eager", expensive=True),
        Mode("jax:forward", expensive=True, forward=True, premise=Premise.CHAIN),
        # XLA computes δ once more in the kernel that adds it up, and rounds it otherwise than where it is returned.
        Mode("jax:vmap", premise=Premise.CHAIN),
        Mode("jax:checkpoint"),
        Mode("keras:tensorflow", backend="tensorflow"),
        Mode("keras:torch", backend="torch"),
        Mode("keras:jax", backend="jax"),
        Mode("autograd:tape"),
        Mode("casadi:mx"),
        Mode("mlx:eager"),
        Mode("mygrad:tape"),
        Mode("paddle:eager"),
        # PyTensor rewrites a whole graph: it adds up z + 3 as x W + b + 3, and z for itself.
        Mode("pytensor:function", premise=Premise.CHAIN),
        Mode("sklearn:backprop"),
        Mode("tinygrad:eager"),
    )
}


def defaults() -> tuple[str, ...]:
    """Return the names of the modes that are judged when nobody is named."""
    return tuple(mode.name for mode in MODES.values() if mode.default)


def every_mode() -> tuple[str, ...]:
    """Return the names of the modes that ``--modes all`` judges: those of the frameworks that have several."""
    return tuple(mode.name for mode in MODES.values() if mode.framework.in_all)


def find(name: str) -> Mode | None:
    """Return the mode that an implementation's name says, on whatever device; None where it says none of these."""
    return MODES.get(name.partition("@")[0])


def in_forward_mode(name: str) -> bool:
    """Return whether an implementation differentiates forward, by one component at a time."""
    mode = find(name)
    return mode is not None and mode.forward
