"""Stage "prune" in a recipe: its keys, what comes of it, and that it is made once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import recipes

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pyarrow")
pytest.importorskip("jinja2")

from limbeck import load
from limbeck.errors import InputError
from limbeck.forge import recipe
from limbeck.forge.recipe import schema

pytestmark = pytest.mark.torch

STAGE = """\
[[stage]]
kind = "prune"
pattern = "4x4"
sparsity = 0.75
criterion = "snip-momentum"
epochs = 2
learning_rate = 2e-3
every = 1

[[stage]]
kind = "export"
"""
TEXT = recipes.RECIPE.replace('[[stage]]\nkind = "export"\n', STAGE)
OPTIONS = recipe.Options(resamples=20, lengths=())


def told(run: Path) -> list[str]:
    """The stages that were made, by the ledger."""
    lines = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    return [line["stage"] for line in lines if line["event"] == "stage"]


def test_from_rows_to_an_artifact_with_blocks(tmp_path: Path) -> None:
    file = recipes.write(tmp_path, TEXT, rows=120)
    found = recipe.run(recipe.read(file), OPTIONS)
    stages = [step.output.stage for step in found.steps]
    assert stages == ["1-teacher", "2-distil", "3-prune", "4-export"]
    lineage = json.loads((tmp_path / "run" / "3-prune" / "lineage.json").read_text())
    assert lineage["criterion"] == "snip-momentum"
    assert lineage["sparsity"] == pytest.approx(0.75, abs=0.001)
    done = json.loads((tmp_path / "run" / "3-prune" / "done.json").read_text())
    assert done["figures"]["layers"] == lineage["layers"]
    described = load(found.artifact).describe()["layers"]
    inside = [one["sparsity"] for one in described if one["name"].startswith("layers.")]
    assert max(inside) > 0.7
    before = told(tmp_path / "run")
    assert before == ["1-teacher", "2-distil", "3-prune", "4-export", "5-verify"]
    again = recipe.run(recipe.read(file), OPTIONS)
    assert again.digest == found.digest
    assert told(tmp_path / "run") == before


def test_what_was_measured_is_an_input_of_the_run(tmp_path: Path) -> None:
    # only the feed-forward part needs to get faster for a low sparsity
    text = TEXT.replace("sparsity = 0.75", 'sparsity = 0.4\nallocation = "latency"\ntokens = 32')
    file = recipes.write(tmp_path, text, rows=100)
    found = recipe.run(recipe.read(file), OPTIONS)
    [table] = (tmp_path / "run" / "inputs").glob("latency-*.json")
    known = table.read_bytes()
    lineage = json.loads((tmp_path / "run" / "3-prune" / "lineage.json").read_text())
    assert lineage["latency"] == json.loads(known)
    again = recipe.run(recipe.read(file), OPTIONS)
    assert (again.digest, table.read_bytes()) == (found.digest, known)
    # the stage made anew has the same table, and so the same mask
    made = json.loads((tmp_path / "run" / "3-prune" / "done.json").read_text())
    shutil.rmtree(tmp_path / "run" / "3-prune")
    recipe.run(recipe.read(file), OPTIONS)
    assert (
        json.loads((tmp_path / "run" / "3-prune" / "done.json").read_text())["output"]
        == (made["output"])
    )


def test_keys_are_checked(tmp_path: Path) -> None:
    whole = schema.parse(TEXT)
    assert schema.parse(schema.to_toml(whole)) == whole
    for key, value, wanted in (
        ("sparsity", "1.5", r"stage\[2\]\.sparsity.* must be in 0 \.\. 1"),
        ("pattern", '"4x5"', r"stage\[2\]\.pattern must be one of 1x4"),
        ("end", "0.9", r"stage\[2\]\.end.*start <= end <= lock"),
        ("heads", "0", r"stage\[2\]\.heads.* at least 1"),
        ("seed", "3", r"stage\[2\] has no key 'seed'"),
        ("tokens", "0", r"stage\[2\]\.tokens.* at least 1"),
    ):
        text = TEXT.replace("every = 1", f"every = 1\n{key} = {value}")
        text = text.replace("sparsity = 0.75\n" if key == "sparsity" else "\0", "")
        text = text.replace('pattern = "4x4"\n' if key == "pattern" else "\0", "")
        with pytest.raises(InputError, match=wanted):
            schema.parse(text)
    with pytest.raises(InputError, match=r"\(distil\) cannot come after .* gives a pruned"):
        schema.parse(TEXT.replace('kind = "export"', 'kind = "distil"\n[[stage]]\nkind = "export"'))
