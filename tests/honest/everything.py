"""All honest variants over a whole campaign, by one command, which takes an hour:

    python tests/honest/everything.py [CASES [SEED ...]]

It prints who was accused, and by kind of variant how many verdicts there were on how many independent structures n, and
the upper limit 3/n on the share of structures with a false alarm that none of n leaves at 95 %.
"""

from __future__ import annotations

import sys
from collections import Counter

from gradparity.harness.campaign import CASES_A_STRUCTURE, Settings, draw_cases
from gradparity.reference.network import DTYPES
from gradparity.tests.honest.judging import Trials, try_all
from gradparity.tests.honest.variants import VARIANTS
from rich.console import Console
from rich.progress import track
from rich.table import Table


def main() -> int:
    """Try them all; return 1 where somebody was accused."""
    cases, *seeds = map(int, sys.argv[1:] or ["1280"])
    console, trials = Console(), Trials()
    for seed in seeds or [0, 1]:
        drawn = draw_cases(Settings((), cases, seed, tuple(DTYPES)))
        for _ in track(range(cases // CASES_A_STRUCTURE), f"seed {seed}", console=Console(stderr=True)):
            some = [next(drawn) for _ in range(CASES_A_STRUCTURE)]
            try_all(VARIANTS, iter(some), trials)
    for variant, case, broken in trials.accused:
        console.print(f"{variant} was accused: {broken}, case {case.id}", highlight=False, soft_wrap=True)
    kinds = {str(variant): variant.kind for variant in VARIANTS}
    table = Table("kind", "variants", "structures", "verdicts", "inconclusive", "accused", "upper limit")
    for kind in dict.fromkeys(kinds.values()):
        names = [name for name, its in kinds.items() if its == kind]
        verdicts = sum((trials.verdicts.get(name, Counter()) for name in names), Counter[str]())
        n = sum(trials.structures[name] for name in names)
        accused = sum(str(variant) in names for variant, _, _ in trials.accused)
        limit = f"{3 / n:.2g}" if n and not accused else ""
        counts = (len(names), n, verdicts.total(), verdicts["inconclusive"], accused)
        table.add_row(kind, *(f"{one:,}" for one in counts), limit)
    console.print(table)
    return int(bool(trials.accused))


if __name__ == "__main__":
    sys.exit(main())
