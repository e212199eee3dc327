"""Every fault that people make when they write backpropagation, each as one wrong step."""

from . import cost, error, forward, gradients
from .fault import FAULTS, Fault

__all__ = ["FAULTS", "Fault", "cost", "error", "forward", "gradients"]

FAULTS.sort(key=lambda fault: fault.number)
