"""The table of metrics in docs/guide/watching.md, generated from the catalogue.

`python -m limbeck.serve.metrics.docs [--check] [PAGE]`; `make docs` does it too.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from limbeck.serve.metrics.catalogue import CATALOGUE, OUTCOMES

_BLOCK = re.compile(r"(<!-- generated:metrics -->\n).*?(<!-- /generated -->)", re.DOTALL)


def table() -> str:
    """A row for each metric."""
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in CATALOGUE:
        labels = ", ".join(metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    outcomes = ", ".join(f"`{outcome}`" for outcome in OUTCOMES)
    return "\n".join([*lines, "", f"Outcomes: {outcomes}."]) + "\n"


def render(page: str) -> str:
    """The page with the table as the code has it now."""
    if len(_BLOCK.findall(page)) != 1:
        raise SystemExit("the page must hold <!-- generated:metrics --> once")
    return _BLOCK.sub(lambda match: match[1] + table() + match[2], page)


def main(arguments: list[str] | None = None) -> int:
    """Rewrite the page, or with --check say whether it is up to date."""
    parser = argparse.ArgumentParser(prog="python -m limbeck.serve.metrics.docs")
    parser.add_argument("page", nargs="?", type=Path, default=Path("docs/guide/watching.md"))
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when stale")
    options = parser.parse_args(arguments)
    page = options.page.read_text(encoding="utf-8")
    fresh = render(page)
    if options.check:
        if fresh != page:
            print(f"{options.page} is stale; run: make docs", file=sys.stderr)
        return int(fresh != page)
    options.page.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
