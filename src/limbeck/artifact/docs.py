"""Writes the generated tables of docs/format.md from the tables in code.

    python -m limbeck.artifact.docs [--check] [PAGE]

Between `<!-- generated:NAME -->` and `<!-- /generated -->` the page belongs to this module.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, get_args, get_origin

from limbeck.artifact import format as rules
from limbeck.artifact.codec import describe, hints_of
from limbeck.spec import MAX_INT8_INPUTS
from limbeck.tensors import TENSOR_TABLE

_BLOCK = re.compile(r"(<!-- generated:(\w+) -->\n).*?(<!-- /generated -->)", re.DOTALL)
_WHEN = {
    "always": "always",
    "types": "`types` > 0",
    "head": "there is a head",
    "dense_head": "the head has `dense`",
    "static": "`quant.activations` is `static`",
}


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def tensors_table() -> str:
    """Which tensors there are, from limbeck.tensors."""
    rows = [
        (f"`{row.name}`", f"[{', '.join(row.axes)}]", row.kind, _WHEN[row.when])
        for row in TENSOR_TABLE
    ]
    return _table(("Tensor", "Shape", "Kind", "Present when"), rows)


def kinds_table() -> str:
    """What each kind of tensor may be stored as."""
    rows = [
        (kind, " or ".join(rule.fp32), " or ".join(rule.int8), " or ".join(rule.encodings))
        for kind, rule in rules.KINDS.items()
    ]
    return _table(("Kind", "In an fp32 model", "In an int8 model", "Encodings"), rows)


def parts_table() -> str:
    """The arrays that a tensor of each encoding owns."""
    rows = [
        (
            row.encoding,
            row.role,
            f"`NAME{row.suffix}`",
            row.dtype or "as the tensor",
            row.shape,
            "I8 only" if row.only_int8 else "always",
        )
        for row in rules.PART_TABLE
    ]
    return _table(("Encoding", "Role", "Name", "Dtype", "Shape", "Present"), rows)


def document_table() -> str:
    """The objects of limbeck.json and their keys."""
    rows: list[tuple[str, ...]] = []

    def visit(path: str, kind: type) -> None:
        keys = [f"`{name}`: {_words(hint)}" for name, hint in hints_of(kind).items()]
        rows.append((f"`{path}`" if path else "the document", "; ".join(keys)))
        for name, hint in hints_of(kind).items():
            for inner in (hint, *get_args(hint)):
                if isinstance(inner, type) and dataclasses.is_dataclass(inner):
                    each = "[]" if inner is not hint and get_origin(hint) is tuple else ""
                    visit(f"{path}.{name}{each}".lstrip("."), inner)

    visit("", rules.Document)
    return _table(("Object", "Keys"), rows)


def _words(hint: Any) -> str:
    return describe(hint).replace('"', "`")


def limits_table() -> str:
    """The bounds that a reader holds files to."""
    rows = [
        ("bytes of `limbeck.json`", str(rules.MAX_JSON_BYTES)),
        ("bytes of the safetensors header", str(rules.MAX_HEADER_BYTES)),
        ("nesting of JSON", str(rules.MAX_JSON_DEPTH)),
        (
            "inputs of a linear I8 tensor, so that sums of u8 * s8 fit in 32 bits",
            str(MAX_INT8_INPUTS),
        ),
    ]
    return _table(("What", "At most"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "document": document_table,
    "tensors": tensors_table,
    "kinds": kinds_table,
    "parts": parts_table,
    "limits": limits_table,
}


def render(page: str) -> str:
    """The page with its generated tables as the code has them now."""
    found = [match[2] for match in _BLOCK.finditer(page)]
    if sorted(found) != sorted(TABLES):
        raise SystemExit(f"the page must hold each of {sorted(TABLES)} once, found {sorted(found)}")
    return _BLOCK.sub(lambda match: match[1] + TABLES[match[2]]() + match[3], page)


def main(arguments: list[str] | None = None) -> int:
    """Rewrite the page, or with --check say whether it is up to date."""
    parser = argparse.ArgumentParser(prog="python -m limbeck.artifact.docs", description=__doc__)
    parser.add_argument("page", nargs="?", type=Path, default=Path("docs/format.md"))
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when stale")
    options = parser.parse_args(arguments)
    page = options.page.read_text(encoding="utf-8")
    fresh = render(page)
    if options.check:
        if fresh != page:
            print(f"{options.page} is stale; run: python -m limbeck.artifact.docs")
        return int(fresh != page)
    options.page.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
