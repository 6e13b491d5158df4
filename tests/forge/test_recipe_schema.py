"""Recipes as TOML: round trips, and errors that name the place."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import recipes

pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.errors import InputError
from limbeck.evaluation import Limits
from limbeck.forge import recipe
from limbeck.forge.distil import DistilConfig
from limbeck.forge.intermediate import IntermediateConfig
from limbeck.forge.quantize.qat import QatConfig
from limbeck.forge.recipe import order
from limbeck.forge.recipe.registry import STAGES
from limbeck.forge.recipe.sections import DataSection, Recipe, RunSection, StageSection
from limbeck.forge.recipe.stages.distil import DistilStage
from limbeck.forge.recipe.stages.export import ExportStage
from limbeck.forge.recipe.stages.online import OnlineStage, Shape
from limbeck.forge.recipe.stages.qat import QatStage
from limbeck.forge.recipe.stages.teacher import TeacherStage
from limbeck.forge.recipe.stages.verify import VerifyStage
from limbeck.forge.recipe.toml_values import document, keys_of, nearest
from limbeck.forge.training import TrainingConfig

pytestmark = pytest.mark.torch

FULL = Recipe(
    data=DataSection(
        train=Path('odd "name"\\ü\x7f.csv'),
        test=Path("t.csv"),
        pair="b",
        hold_out=1e-05,
        strict=False,
    ),
    run=RunSection(out=Path("o"), seed=7, threads=3, precision="bf16"),
    stages=(
        StageSection(
            kind="teacher",
            config=TeacherStage(
                model="m", training=TrainingConfig(epochs=0.5, dropout=0.2, freeze_embeddings=True)
            ),
        ),
        StageSection(
            kind="distil",
            config=DistilStage(
                take=(0, 2),
                teachers=("a", "b"),
                combine="confidence",
                transfer=False,
                distil=DistilConfig(
                    temperature=3.0,
                    soft_loss="mse",
                    inside=IntermediateConfig(
                        cosine_weight=1.0, layer_map=((0, 0), (1, 3)), relation_layers=(2, 4)
                    ),
                    training=TrainingConfig(learning_rate=3e-4, average_decay=0.99),
                ),
            ),
        ),
        StageSection(
            kind="qat",
            config=QatStage(
                transfer=False,
                qat=QatConfig(
                    activations="static",
                    observer="percentile",
                    calibrate=9,
                    distil=DistilConfig(
                        soft_weight=1.0, training=TrainingConfig(learning_rate=2e-5)
                    ),
                ),
            ),
        ),
        StageSection(kind="export", config=ExportStage(calibrate=8, observer="mse", smooth=0.4)),
        StageSection(kind="verify", config=VerifyStage(int8=0.5)),
    ),
    gate=Limits(max_drop=1.0, max_slice_drop=2.5, strict=True),
)


def test_round_trip() -> None:
    assert recipe.parse(recipe.to_toml(FULL)) == FULL


def test_round_trip_of_defaults_and_online() -> None:
    stages = (
        StageSection(kind="teacher", config=TeacherStage(model="hub/name", train=False)),
        StageSection(
            kind="online", config=OnlineStage(students=(Shape(layers=2), Shape(take=(1, 3))))
        ),
        StageSection(kind="export", config=ExportStage()),
    )
    value = Recipe(data=DataSection(train=Path("d")), run=RunSection(out=Path("o")), stages=stages)
    assert recipe.parse(recipe.to_toml(value)) == value


def test_what_is_not_said_has_the_defaults() -> None:
    found = recipe.parse(recipes.RECIPE)
    assert found.run.seed == 0
    assert found.gate is None
    assert found.stages[1].config.distil.temperature == DistilConfig().temperature
    # a student's own default, which another key does not undo
    assert "batch_size" not in recipes.RECIPE
    text = recipes.RECIPE.replace("layers = 1\nepochs = 2\nlearning_rate = 2e-3", "batch_size = 8")
    assert recipe.parse(text).stages[1].config.distil.training.learning_rate == 1e-4


def test_every_stage_has_keys_of_its_own() -> None:
    for stage in STAGES.values():
        keys = keys_of(stage.config)
        assert "seed" not in keys
        assert "precision" not in keys or stage.kind == "export"
        assert "max_seconds" not in keys


def test_paths_are_looked_up_from_the_recipe(tmp_path: Path) -> None:
    file = recipes.write(tmp_path / "place")
    found = recipe.read(file)
    assert found.data.train == tmp_path / "place" / "rows.jsonl"
    assert found.run.out == tmp_path / "place" / "run"
    assert found.stages[0].config.model == str(tmp_path / "place" / "encoder")
    other = recipes.RECIPE.replace('"encoder"', '"hub/name"')
    assert recipe.parse(other, home=tmp_path).stages[0].config.model == "hub/name"
    other = recipes.RECIPE.replace('"rows.jsonl"', '"hub:owner/name:train"')
    assert str(recipe.parse(other, home=tmp_path).data.train) == "hub:owner/name:train"


BAD = [
    ("[data]", "[daata]", r"no section \[daata\]; did you mean 'data'\?"),
    ("hold_out = 0.3", "hold_uot = 0.3", r"data has no key 'hold_uot'; did you mean 'hold_out'\?"),
    ("hold_out = 0.3", "hold_out = 1.5", r"data\.hold_out: hold_out must be between 0 and 1"),
    ("hold_out = 0.3", 'hold_out = "x"', r"data\.hold_out must be a number, found 'x'"),
    ("hold_out = 0.3", "hold_out = nan", r"data\.hold_out must be finite"),
    ('train = "rows.jsonl"', "train = 3", r"data\.train must be a path in quotes, found 3"),
    ('train = "rows.jsonl"', "", r"data needs the key 'train'"),
    ("threads = 1", "threads = true", r"run\.threads must be a whole number, found True"),
    ("threads = 1", "threads = 0", r"run\.threads: threads must be positive"),
    ("threads = 1", "seed = -1", r"run\.seed: seed must not be negative"),
    ('precision = "fp32"', 'precision = "fp23"', r"run\.precision must be one of.*mean 'fp32'\?"),
    (
        'kind = "distil"',
        'kind = "distill"',
        r"stage\[1\]\.kind: .*'distill'; did you mean 'distil'",
    ),
    ('kind = "distil"', "", r"stage\[1\]\.kind: there is no stage None"),
    (
        "layers = 1",
        "layers = 1\ntemprature = 2",
        r"stage\[1\] has no key 'temprature'; did you mean",
    ),
    ("layers = 1", "temperature = 0", r"stage\[1\]\.temperature: the temperature must be positive"),
    ("layers = 1", "layers = 0", r"stage\[1\]\.layers: layers must be at least 1"),
    ("layers = 1", "layers = 2\ntake = [0]", r"stage\[1\]: take names 1 layers, and layers says 2"),
    ("layers = 1", "take = [0, 0]", r"stage\[1\]\.take: take names layers from 0, each once"),
    ("layers = 1", "take = [0, 'a']", r"stage\[1\]\.take\[1\] must be a whole number, found 'a'"),
    ("layers = 1", "layer_map = [[0]]", r"stage\[1\]\.layer_map\[0\] must have 2 entries, found 1"),
    ("layers = 1", "layers = 1\nshape = '2x8x2x16'", r"stage\[1\]: a student begins in one way"),
    ("layers = 1", "random = true", r"stage\[1\]\.random: .* needs a shape"),
    ("max_tokens = 32", "max_tokens = 0", r"stage\[0\]\.max_tokens: max_tokens must be positive"),
    ("[run]", '[task]\nkind = "question-answering"\nproblem = "regression"\n[run]', "one problem"),
    ("layers = 1", "take = 3", r"stage\[1\]\.take must be a list in brackets, found 3"),
    ("layers = 1", "seed = 1", r"stage\[1\] has no key 'seed'"),
    ("layers = 1", "max_tokens = 9", r"stage\[1\] has no key 'max_tokens'"),
    ('model = "encoder"', "", r"stage\[0\] needs the key 'model'"),
    ("max_tokens = 32", "train = false", r"stage\[0\]: train = false takes the model as it is"),
    ("[run]", "[run", "is no TOML"),
    ('[[stage]]\nkind = "export"', "", r"stage\[2\] \(verify\) cannot come after stage\[1\], "),
    ('kind = "teacher"\nmodel = "encoder"', 'kind = "export"', r"has no key 'epochs'"),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=lambda text: str(text)[:40])
def test_errors_name_the_place(old: str, new: str, message: str) -> None:
    assert old in recipes.RECIPE
    with pytest.raises(InputError, match=message) as raised:
        recipe.parse(recipes.RECIPE.replace(old, new, 1), name="my.toml")
    assert "my.toml" in str(raised.value)


@pytest.mark.parametrize("section", ["data", "run", "stage"])
def test_sections_that_must_be_there(section: str) -> None:
    tables = tomllib.loads(recipes.RECIPE)
    stages = tables.pop("stage")
    parts = [(f"[{name}]", table) for name, table in tables.items()]
    parts += [("[[stage]]", one) for one in stages]
    text = document([one for one in parts if one[0].strip("[]") != section])
    with pytest.raises(InputError, match=rf"needs a section \[{section}\]"):
        recipe.parse(text)


def test_a_gate_needs_its_limit() -> None:
    with pytest.raises(InputError, match=r"gate needs the key 'max_drop'"):
        recipe.parse(recipes.RECIPE + "\n[gate]\nstrict = true\n")
    with pytest.raises(InputError, match=r"gate\.max_drop: max_drop must be a number of points"):
        recipe.parse(recipes.RECIPE + "\n[gate]\nmax_drop = -1\n")


def stages_of(*kinds: str) -> list[StageSection]:
    made = {
        "teacher": TeacherStage(model="m"),
        "online": OnlineStage(students=(Shape(layers=1), Shape(layers=2))),
    }
    return [StageSection(kind=one, config=made.get(one) or STAGES[one].config()) for one in kinds]


@pytest.mark.parametrize(
    "kinds",
    [
        ("teacher", "export"),
        ("teacher", "distil", "export", "verify"),
        ("teacher", "distil", "distil", "export"),
        ("teacher", "online", "distil", "export"),
    ],
    ids=" ".join,
)
def test_orders_that_fit(kinds: tuple[str, ...]) -> None:
    order.check(stages_of(*kinds))


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ((), "ends without an artifact"),
        (("distil", "export"), r"stage\[0\] \(distil\) takes a teacher or a student, and nothing"),
        (("teacher", "teacher", "export"), r"stage\[1\] \(teacher\) cannot come after stage\[0\]"),
        (("teacher", "distil"), "ends without an artifact; add"),
        (("teacher", "verify"), r"what takes a teacher: distil, online, prune, qat, export"),
        (("teacher", "export", "distil"), r"which gives a artifact; what takes a artifact: verify"),
        (("teacher", "distil", "online", "export"), r"\(online\) cannot come after"),
    ],
    ids=str,
)
def test_orders_that_do_not_fit(kinds: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        order.check(stages_of(*kinds))


def test_online_wants_different_students() -> None:
    text = recipes.RECIPE.replace(
        'kind = "distil"\nlayers = 1', 'kind = "online"\nstudents = [{layers = 1}, {layers = 1}]'
    )
    with pytest.raises(InputError, match=r"stage\[1\]\.students: students must be two or more"):
        recipe.parse(text)
    with pytest.raises(InputError, match=r"stage\[1\]\.students\[1\] has no key 'layer'"):
        recipe.parse(text.replace("{layers = 1}]", "{layer = 2}]"))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the recipe .*No such file"):
        recipe.read(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot read the recipe"):
        recipe.read(tmp_path / "bytes.toml")


def test_nearest_lists_where_nothing_is_near() -> None:
    assert nearest("zzzz", ["alpha", "beta"]) == "; known are alpha, beta"
    assert nearest("alpah", ["alpha", "beta"]) == "; did you mean 'alpha'?"
