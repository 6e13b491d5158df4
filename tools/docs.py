"""Write the generated pages, or with --check say which are stale.

docs/format.md: tables from the artifact's code. docs/reference/cli.md: the help of every command.
README.md: tables from the rows in benchmarks/results. docs/guide/watching.md: metrics.
Run by `make docs` and `make check`.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

from limbeck.artifact import docs as format_page
from limbeck.bench import tables
from limbeck.cli import main as cli
from limbeck.serve.metrics import docs as metrics_page

ROOT = Path(__file__).resolve().parents[1]
CLI_PAGE = Path("docs/reference/cli.md")


def help_of(*arguments: str) -> str:
    """What `limbeck ARGUMENTS --help` prints, at a fixed width and without colours."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        status = cli.run([*arguments, "--help"])
    if status != 0:
        raise SystemExit(f"limbeck {' '.join(arguments)} --help left with status {status}")
    return "\n".join(line.rstrip() for line in text.getvalue().strip().splitlines())


def cli_page() -> str:
    parts = [
        "# The command line\n",
        "Generated from the commands' own help by `make docs`.\n",
        f"```\n{help_of()}\n```\n",
    ]
    parts += [f"## limbeck {name}\n\n```\n{help_of(name)}\n```\n" for name in cli.COMMANDS]
    return "\n".join(parts)


def main() -> int:
    os.chdir(ROOT)
    os.environ.update(COLUMNS="100", NO_COLOR="1", TERM="dumb")
    check = ["--check"] if "--check" in sys.argv[1:] else []
    stale = format_page.main(check)
    stale |= tables.main(["README.md", *check])
    stale |= metrics_page.main(check)
    page = cli_page()
    if not CLI_PAGE.exists() or CLI_PAGE.read_text(encoding="utf-8") != page:
        if check:
            print(f"{CLI_PAGE} is stale; run: make docs", file=sys.stderr)
            stale = 1
        else:
            CLI_PAGE.parent.mkdir(parents=True, exist_ok=True)
            CLI_PAGE.write_text(page, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
