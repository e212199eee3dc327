"""docs/honest.md, and the table of what is not allowed in docs/bounds.md: ``python tests/honest/documented.py``."""

from __future__ import annotations

from pathlib import Path

from gradparity.tests.honest.forbidden import FORBIDDEN
from gradparity.tests.honest.variants import VARIANTS

HEAD = """# What is judged right

Two careful people who write the same network get other last digits. gradparity's bounds hold what either may get,
and these variants hold them to that. Each is one network, written apart from the reference in NumPy, with one operation
done otherwise. `tests/test_honest.py` judges every one of them; `python tests/honest/everything.py` does so over a
whole campaign in all four precisions. What is not allowed is in [bounds.md](bounds.md).

Some compute activations once more on the way back. The arrays that they answer do not follow from one another, so they
are judged by the premise `delta` (bounds.md, Premises).

| operation | kind | how |
| --- | --- | --- |
"""


def document() -> str:
    """Return docs/honest.md."""
    return (
        HEAD + "\n".join(f"| {one.operation} | {one.kind} | {_cell(one.name)} |" for one in VARIANTS) + "\n"
    )


def forbidden() -> str:
    """Return the rows of what is not allowed."""
    return "".join(f"| {one.operation} | {_cell(one.name)} | {_cell(one.loses)} |\n" for one in FORBIDDEN)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    docs = Path(__file__).parents[2] / "docs"
    (docs / "honest.md").write_text(document())
    page, begins, ends = (docs / "bounds.md").read_text(), "| --- | --- | --- |\n", "\n`e ** z`"
    before, _, after = page.partition("| operation | what is done | what it loses |\n" + begins)
    table = "| operation | what is done | what it loses |\n" + begins + forbidden()
    (docs / "bounds.md").write_text(before + table + ends + after.partition(ends)[2])
