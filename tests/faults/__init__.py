"""Every fault that people make when they write backpropagation, each as an implementation with exactly that one."""

from . import cost, error, forward, gradients
from .fault import FAULTS, Fault
from .network import Network

__all__ = ["FAULTS", "Fault", "Network", "cost", "error", "forward", "gradients"]

FAULTS.sort(key=lambda fault: fault.number)
