"""Where the frameworks' numbers are: on a device that is named, laid out as users lay them out."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from gradparity import Architecture, Cost, Layer
from gradparity.adapters.modes import FRAMEWORKS
from gradparity.harness.judgement import judge
from gradparity.harness.verdict import Verdict
from gradparity.harness.workers import Answer, Worker
from gradparity.property_tests.regimes import BY_NAME, case

ASKED = case(
    Architecture(3, (Layer(4, "tanh"), Layer(2, "sigmoid")), Cost("half_squared_error")),
    5, BY_NAME["ordinary"], 1, "float32",
)  # fmt: skip


def ask(name: str) -> Answer:
    if importlib.util.find_spec(name.partition(":")[0]) is None:
        pytest.skip(f"{name} is not installed")
    with Worker(name, 120) as worker:
        return worker.submit(ASKED).result()


@pytest.mark.parametrize("name", [one.modes[0] for one in FRAMEWORKS.values() if one.on_devices])
def test_the_cpu_may_be_named(name: str) -> None:
    plain, named = ask(name).gradients, ask(f"{name}@cpu").gradients
    assert plain is not None
    assert named is not None
    for key, array in plain.tensors().items():
        assert array.tobytes() == named.tensors()[key].tobytes()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("torch:eager@nowhere", "PyTorch cannot use the device 'nowhere' here: "),
        ("tensorflow:eager@nowhere", "TensorFlow sees no device 'NOWHERE' here"),
        ("jax:jit@nowhere", "JAX cannot use the platform 'nowhere' here: "),
    ],
)
def test_a_device_that_is_not_there_is_declined_with_the_reason(name: str, reason: str) -> None:
    answer = ask(name)
    assert answer.outcome == "unsupported"
    assert answer.message.startswith(reason)


def test_views_are_views_and_hold_the_same_numbers() -> None:
    """In a process of its own, as frameworks are."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    script = (
        "import torch; from gradparity.adapters.torch import _strided\n"
        "for given in (torch.arange(12.).reshape(3, 4), torch.arange(5.)):\n"
        "    view = _strided(given)\n"
        "    assert torch.equal(view, given) and not view.is_contiguous() and not view.T.is_contiguous()\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)


def test_views_are_judged() -> None:
    strided = ask("torch:strided").gradients
    assert strided is not None
    assert judge(ASKED, strided).verdict is Verdict.AGREES
