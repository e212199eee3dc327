"""Judges every implementation beside the frameworks, and prints docs/conformance_others.md's table.

It takes about ten minutes on one core. Each is asked for what it has: a library with four activations would decline
most of what is drawn from all of them. `make conformance` installs and builds everything first; what is missing is
named, with the command that installs it, and left out.
"""

import sys
from collections import Counter, defaultdict
from dataclasses import dataclass

from gradparity.adapters.registry import check
from gradparity.harness.campaign import Clock, Divergence, Settings, campaign

SQUARED = ("identity", "half_squared_error")


@dataclass(frozen=True)
class Entry:
    """Whom to judge, in which precisions, and on which activations and costs: on all, or on a few sets."""

    name: str
    design: str
    precisions: tuple[str, ...] = ("float64", "float32")
    only: tuple[tuple[str, ...], ...] = ((),)


ENTRIES = (
    Entry("autograd:tape", "tape"),
    Entry("mygrad:tape", "tape, functions by hand", ("float64",)),
    Entry("casadi:mx", "symbolic, source transformation", ("float64",)),
    Entry("pytensor:function", "symbolic, rewritten"),
    Entry("mlx:eager", "lazy graph, compiled functions", ("float64", "float32", "bfloat16", "float16")),
    Entry("paddle:eager", "tape, kernels by hand"),
    Entry("tinygrad:eager", "lazy graph, compiled"),
    Entry(
        "sklearn:backprop",
        "by hand",
        only=(
            ("tanh", *SQUARED),
            ("relu", *SQUARED),
            ("sigmoid", "binary_cross_entropy"),
            ("softmax", "cross_entropy"),
            ("identity", "poisson"),
        ),
    ),
    Entry("exec:node examples/tfjs/backprop.mjs", "tape, derivatives by hand", ("float32",)),
    Entry(
        "exec:node examples/convnetjs/backprop.mjs",
        "by hand",
        ("float64",),
        (("sigmoid", "tanh", "relu", *SQUARED), ("tanh", "identity", "softmax_cross_entropy")),
    ),
    Entry(
        "exec:examples/fann/fann64",
        "by hand",
        ("float64",),
        (("sigmoid", *SQUARED), ("tanh", "softsign", "hardtanh", *SQUARED)),
    ),
    Entry(
        "exec:examples/fann/fann32",
        "by hand",
        ("float32",),
        (("sigmoid", *SQUARED), ("tanh", "softsign", "hardtanh", *SQUARED)),
    ),
    Entry(
        "exec:examples/dlib/backprop",
        "by hand",
        ("float32",),
        (
            ("sigmoid", "tanh", "relu", "relu6", "leaky_relu", "softmax", *SQUARED),
            ("gelu", "silu", "mish", "elu", *SQUARED),
            ("tanh", "identity", "softmax_cross_entropy", "binary_cross_entropy_with_logits"),
        ),
    ),
)


def where(divergence: Divergence) -> tuple[str, str]:
    """Say which function of which precision diverges: σ, the cost, or the equation where it is that itself."""
    blamed, network = divergence.blamed, divergence.case.architecture
    activation = network.layers[blamed.layer - 1].activation
    names = {
        "forward": f"{blamed.name.rstrip('0123456789')} of {activation}",
        "BP1": f"BP1 of {network.cost.name} through {activation}",
        "BP2": f"BP2 through {activation}",
        "cost": f"the value of {network.cost.name}",
    }
    return names.get(blamed.equation, blamed.equation), divergence.case.precision


def judge(entry: Entry, cases: int) -> None:
    """Judge one implementation; print its row of the table, and what diverges."""
    verdicts: Counter[str] = Counter()
    found: dict[tuple[str, str], list[Divergence]] = defaultdict(list)
    about: dict[str, object] = {}
    for only in entry.only:
        settings = Settings((entry.name,), cases // len(entry.only), precisions=entry.precisions).only(only)
        for judged in campaign(settings, Clock()):
            verdicts.update(row.verdict for row in judged.rows)
            about = dict(judged.answer.implementation) or about
            for divergence in judged.divergences:
                found[where(divergence)].append(divergence)
    columns = ("agrees", "diverges", "inconclusive", "unsupported", "failed")
    counts = " | ".join(f"{verdicts[column]:,}" for column in columns)
    author = f"{about.get('name')} | {about.get('version')} | {about.get('language')}"
    print(f"| {author} | {entry.design} | {', '.join(entry.precisions)} | {counts} |", flush=True)
    for (function, precision), divergences in sorted(found.items()):
        worst = divergences[0].blamed
        print(
            f"    {function}, {precision}: {len(divergences)} times;"
            f" {worst.result!r} for {worst.certificate.exact}, {worst.margin:.3g} radii",
            file=sys.stderr,
        )


def main() -> None:
    """Print the table on standard output, and what it is made of on standard error."""
    print("| implementation | version | language | design | precision |", end=" ")
    print("agrees | diverges | inconclusive | unsupported | failed |")
    print("|" + " --- |" * 10)
    named = sys.argv[1:]
    for entry in ENTRIES:
        if named and not any(name in entry.name for name in named):
            continue
        try:
            check(entry.name)
        except ValueError as missing:
            print(f"left out: {missing}", file=sys.stderr)
            continue
        judge(entry, 320)


if __name__ == "__main__":
    main()
