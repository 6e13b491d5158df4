"""Pruning as a whole: what is learned survives, the mask is exact, a stopped run goes on."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
import task_rows
from limbeck import load
from limbeck.engine import LatencyTable, SparseCosts
from limbeck.errors import InputError, TrainingError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.forge import checkpoint, learning, loop, quality, teacher  # noqa: E402
from limbeck.forge import logits as asked  # noqa: E402
from limbeck.forge.checkpoint import Pruned, Teacher  # noqa: E402
from limbeck.forge.distil import DistilConfig  # noqa: E402
from limbeck.forge.examples import TrainingSet, training_set  # noqa: E402
from limbeck.forge.export import export  # noqa: E402
from limbeck.forge.intermediate import IntermediateConfig  # noqa: E402
from limbeck.forge.prune import (  # noqa: E402
    PruneConfig,
    Schedule,
    Structure,
    latency_table,
    layers,
    prune,
    width_of,
)
from limbeck.forge.prune.pruner import Pruner  # noqa: E402
from limbeck.forge.saves import Saves  # noqa: E402
from limbeck.forge.training import TrainingConfig  # noqa: E402

pytestmark = pytest.mark.torch

SHAPE = models.Shape(layers=2, hidden=32, heads=4, ffn=64)
TRAINING = TrainingConfig(
    epochs=3, batch_size=16, learning_rate=2e-3, precision="fp32", max_tokens=24
)
WORDS = ["good", "bad", "warm", "cold", "old", "new", "small", "quiet", "house", "room", "view"]


def texts(count: int, seed: int = 0) -> TrainingSet:
    draw = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        chosen = draw.choice(WORDS, draw.integers(2, 8)).tolist()
        rows.append((" ".join(chosen), None, "yes" if "good" in chosen else "no"))
    return training_set(rows, ("no", "yes"))


@pytest.fixture(scope="module")
def wise(zoo: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a teacher that knows."""
    encoder = zoo("bert", "feature-extraction", shape=SHAPE)
    made, _ = teacher.finetune(encoder, texts(320), replace(TRAINING, epochs=8))
    assert quality.of(made, texts(200, 1)).value > 0.97
    return made.save(tmp_path_factory.mktemp("wise"))


def fresh(directory: Path) -> Teacher:
    return Teacher(**vars(checkpoint.load(directory)))


def config(**more: Any) -> PruneConfig:
    training = more.pop("training", TRAINING)
    options = {
        "sparsity": 0.5,
        "schedule": Schedule(every=2),
        "distil": DistilConfig(soft_weight=1.0, training=training),
    }
    return PruneConfig(**(options | more))


def zero_blocks(model: Any, pattern: str) -> tuple[int, int]:
    """Blocks of zeros and all blocks, counted with numpy on the weights themselves."""
    rows, cols = (int(side) for side in pattern.split("x"))
    zero = total = 0
    for name, value in model.state_dict().items():
        if ".layer." in name and value.ndim == 2:
            array = value.numpy()
            grid = array.reshape(array.shape[0] // rows, rows, array.shape[1] // cols, cols)
            zero += int((~grid.any(axis=(1, 3))).sum())
            total += grid.shape[0] * grid.shape[2]
    return zero, total


def bits(model: Any) -> dict[str, Any]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("criterion", "allocation", "pattern"),
    [
        ("magnitude", "global", "4x4"),
        ("absolute", "uniform", "1x4"),
        ("movement", "global", "4x1"),
        ("snip-momentum", "uniform", "2x4"),
        ("reconstruction", "uniform", "4x4"),
        ("reconstruction", "global", "1x4"),
    ],
)
def test_half_of_it_goes_and_what_is_learned_stays(
    wise: Path, criterion: Any, allocation: Any, pattern: Any
) -> None:
    student, rows = fresh(wise), texts(320)
    digest = student.digest
    wanted = asked.of(student, rows, None)
    how = config(
        criterion=criterion,
        allocation=allocation,
        pattern=pattern,
        training=replace(TRAINING, epochs=5, average_decay=0.9, weight_decay=0.1),
    )
    made, report = prune(student, rows, wanted, how)
    assert isinstance(made, Pruned)
    zero, total = zero_blocks(made.model, pattern)
    assert zero == round(0.5 * total)
    assert report.sparsity == pytest.approx(zero / total)
    found = layers.sparsities(made.model, pattern)
    assert found == pytest.approx(dict(report.layers))
    if allocation == "uniform":
        assert max(found.values()) - min(found.values()) < 0.02
    assert max(found.values()) <= 0.98
    assert quality.of(made, texts(200, 1)).value > 0.9
    assert made.digest != digest
    said = made.lineage
    assert (said["step"], said["pattern"], said["criterion"]) == ("prune", pattern, criterion)
    assert said["sparsity"] == report.sparsity
    assert said["layers"] == dict(report.layers)
    assert said["student"] == digest
    assert said["of"]["step"] == "finetune"
    json.dumps(made.lineage)


class Watched(Pruner):
    """Notes the masks of every step, and that the model never has what the mask hides."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.masks: list[list[Any]] = []
        self.shares: list[float] = []
        self.given: list[Any] = []
        self.back = 0

    def after_backward(self, step: int, share: float) -> None:
        self.given.append([layer.weight.grad.clone() for layer in self._layers])
        super().after_backward(step, share)

    def after_step(self, step: int, share: float) -> None:
        before = [
            (state.holes, None if state.beneath is None else state.beneath.clone())
            for state in self._states
        ]
        super().after_step(step, share)
        self.shares.append(share)
        self.masks.append([state.kept.clone() for state in self._states])
        for (layer, state), (holes, beneath) in zip(self._both(), before):
            hidden = ~layers.spread(state.kept, self._config.pattern)
            assert not layer.weight[hidden].any()
            if beneath is not None:
                # what was hidden comes back as it was, or stays beneath as it was
                back = holes & ~hidden
                self.back += int(back.sum())
                assert torch.equal(layer.weight[back], beneath[back])
                if state.beneath is not None:
                    assert torch.equal(state.beneath[holes], beneath[holes])


def test_the_mask_follows_the_schedule_and_stays_after_the_lock(wise: Path) -> None:
    student, rows = fresh(wise), texts(320)
    schedule = Schedule(start=0.2, end=0.5, lock=0.7, every=3)
    how = config(sparsity=0.6, schedule=schedule, criterion="movement")
    watched = Watched(student.model, how, None)
    wanted = asked.of(student, rows, None)
    learning.learn(student, rows, wanted, how.distil, alongside=watched)
    gone = [1 - np.mean([m.float().mean().item() for m in masks]) for masks in watched.masks]
    total = sum(mask.numel() for mask in watched.masks[0])
    counts = [sum(int((~m).sum()) for m in masks) for masks in watched.masks]
    moved_after_the_ramp = False
    for step in range(1, len(counts)):
        share, changed = watched.shares[step], counts[step] != counts[step - 1]
        equal = all(torch.equal(*pair) for pair in zip(*watched.masks[step - 1 : step + 1]))
        if share < 0.2:
            assert counts[step] == 0
        elif share < 0.5 and step % 3 == 0:
            ramp = 0.6 - 0.6 * (1 - (share - 0.2) / 0.3) ** 3
            assert counts[step] == round(ramp * total)
        elif share < 0.7 and step % 3 == 0:
            assert counts[step] == round(0.6 * total)
            moved_after_the_ramp |= not equal
        elif share < 0.7 or watched.shares[step - 1] >= 0.7:
            assert equal, (step, share)
            assert not changed
    assert moved_after_the_ramp
    assert watched.back > 0
    assert gone[-1] > 0.5
    # gradients are seen of what is hidden: that is how it can come back
    at = next(i for i, share in enumerate(watched.shares) if 0.3 < share < 0.5)
    hidden = ~layers.spread(watched.masks[at - 1][0], "4x4")
    assert watched.given[at][0][hidden].any()


def test_movement_is_accumulated_over_the_steps(wise: Path) -> None:
    student, rows = fresh(wise), texts(64)
    how = config(criterion="movement", schedule=Schedule(start=0.9, end=0.9, lock=1.0))
    how = replace(how, distil=replace(how.distil, training=replace(TRAINING, epochs=1)))
    watched = Watched(student.model, how, None)
    seen: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    before = watched.after_backward

    def noting(step: int, share: float) -> None:
        weights.append(watched._layers[3].weight.detach().double().numpy().copy())
        seen.append(watched._layers[3].weight.grad.double().numpy().copy())
        before(step, share)

    watched.after_backward = noting  # type: ignore[method-assign]
    learning.learn(student, rows, asked.of(student, rows, None), how.distil, alongside=watched)
    score = -sum(w * g for w, g in zip(weights, seen))
    wanted = score.reshape(8, 4, 8, 4).sum(axis=(1, 3))
    np.testing.assert_allclose(watched._states[3].scores.numpy(), wanted, rtol=1e-3, atol=1e-7)


class StoppedError(Exception):
    """What a test throws where a process would have died."""


@pytest.mark.parametrize("criterion", ["magnitude", "movement", "snip-momentum", "reconstruction"])
@pytest.mark.parametrize("stops", [(9,), (3, 2, 5)])
def test_stopped_and_started_again(
    wise: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    criterion: Any,
    stops: tuple[int, ...],
) -> None:
    rows = texts(80)
    wanted = asked.of(fresh(wise), rows, None)
    training = replace(TRAINING, epochs=2.4, dropout=0.1, average_decay=0.9)  # 12 steps
    how = config(criterion=criterion, schedule=Schedule(every=1), training=training)
    whole, report = prune(fresh(wise), rows, wanted, how)
    kept = Saves(directory=tmp_path / "state", every_s=0)
    step = loop._Loop._step
    for count in stops:
        left = iter(range(count))

        def dies(self: Any, share: float, left: Any = left) -> None:
            if next(left, None) is None:
                raise StoppedError
            step(self, share)

        with monkeypatch.context() as patch:
            patch.setattr(loop._Loop, "_step", dies)
            with pytest.raises(StoppedError):
                prune(fresh(wise), rows, wanted, how, saves=kept)
    again, found = prune(fresh(wise), rows, wanted, how, saves=kept)
    assert same(bits(again.model), bits(whole.model))
    assert found.layers == report.layers
    # and one that is done is not trained again
    with monkeypatch.context() as patch:
        patch.setattr(loop._Loop, "_step", None)
        last, _ = prune(fresh(wise), rows, wanted, how, saves=kept)
    assert same(bits(last.model), bits(whole.model))
    with pytest.raises(TrainingError, match="another run"):
        prune(fresh(wise), rows, wanted, replace(how, sparsity=0.4), saves=kept)


def test_a_gradient_that_is_no_number_leaves_the_state_before_it(
    wise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = texts(80)
    wanted = asked.of(fresh(wise), rows, None)
    how = config(criterion="movement", schedule=Schedule(every=1))
    how = replace(how, distil=replace(how.distil, training=replace(TRAINING, epochs=2)))
    whole, _ = prune(fresh(wise), rows, wanted, how)
    kept = Saves(directory=tmp_path, every_s=1000)
    student, steps = fresh(wise), iter(range(100))

    def broken(loss: Any) -> None:
        loss.backward()
        if next(steps) == 4:
            student.model.bert.encoder.layer[0].output.dense.weight.grad.fill_(torch.nan)

    with monkeypatch.context() as patch:
        patch.setattr(loop.training, "backward", broken)
        with pytest.raises(TrainingError, match=r"pruning the student: .* step 5 of 10"):
            prune(student, rows, wanted, how, saves=kept)
    again, _ = prune(fresh(wise), rows, wanted, how, saves=kept)
    assert same(bits(again.model), bits(whole.model))


def test_pruned_again_keeps_its_zeros(wise: Path) -> None:
    rows = texts(80)
    wanted = asked.of(fresh(wise), rows, None)
    how = config(pattern="1x4", schedule=Schedule(every=1))
    once, _ = prune(fresh(wise), rows, wanted, how)
    zeros = {name: value == 0 for name, value in bits(once.model).items() if ".layer." in name}
    more = replace(how, pattern="4x4", sparsity=0.75)
    twice, report = prune(once, rows, wanted, more)
    found = bits(twice.model)
    for name, was in zeros.items():
        assert not found[name][was].any(), name
    zero, total = zero_blocks(twice.model, "4x4")
    assert zero == round(0.75 * total)
    assert report.sparsity == pytest.approx(0.75, abs=1 / total)
    assert twice.lineage["of"]["pattern"] == "1x4"
    with pytest.raises(TrainingError, match=r"lacks 7\d\.\d\d% of its blocks already"):
        prune(twice, rows, wanted, config())


def test_rows_of_zeros_and_other_odd_weights(wise: Path) -> None:
    rows = texts(48)
    student = fresh(wise)
    wanted = asked.of(student, rows, None)
    with torch.no_grad():
        student.model.bert.encoder.layer[0].attention.self.value.weight[:9] = 0.0
        student.model.bert.encoder.layer[1].intermediate.dense.weight.zero_()
    how = config(schedule=Schedule(every=1), training=replace(TRAINING, epochs=1))
    made, report = prune(student, rows, wanted, how)
    inner = made.model.bert.encoder.layer
    assert not inner[0].attention.self.value.weight[:9].any()
    assert report.layers["layers.1.ffn.in"] == 1.0  # above the cap, for it was so before
    zero, total = zero_blocks(made.model, "4x4")
    assert zero == round(0.5 * total)
    with torch.no_grad():
        made.model.bert.encoder.layer[1].output.dense.weight[0, 0] = torch.inf
    with pytest.raises(TrainingError, match=r"layers\.1\.ffn\.out hold NaN or infinity"):
        prune(made, rows, wanted, how)


def test_scores_that_are_no_numbers_name_the_layer(
    wise: Path,
) -> None:
    pruner = Pruner(fresh(wise).model, config(criterion="movement"), None)
    pruner.begin()
    pruner._states[7].scores[0, 0] = torch.nan
    with pytest.raises(TrainingError, match=r"layers\.1\.attention\.key .* movement that is NaN"):
        pruner.finish()


def test_a_cap_that_makes_the_target_impossible(wise: Path) -> None:
    rows = texts(32)
    student = fresh(wise)
    before = bits(student.model)
    wanted = asked.of(student, rows, None)
    with pytest.raises(TrainingError, match=r"87.50% is impossible: .*at most 75.00% of all"):
        prune(student, rows, wanted, config(sparsity=0.875, cap=0.75))
    odd = teacher.prepare(wise, ("no", "yes"), TRAINING)
    wide = odd.model.bert.encoder.layer[0].intermediate.dense
    wide.weight = torch.nn.Parameter(torch.ones(60, 32))
    with pytest.raises(InputError, match=r"8x4 do not divide layers\.0\.ffn\.in, which is 60x32"):
        prune(odd, rows, wanted, config(pattern="8x4"))
    with pytest.raises(TrainingError, match="needs a table of latencies"):
        prune(student, rows, wanted, config(allocation="latency"))
    assert same(bits(student.model), before)
    for options in (
        {"pattern": "3x3"},
        {"criterion": "luck"},
        {"allocation": "fair"},
        {"sparsity": 1.5},
        {"cap": -1.0},
        {"momentum": 1.0},
    ):
        (name,) = options
        with pytest.raises(TrainingError, match=name):
            PruneConfig(**options)  # type: ignore[arg-type]


COSTS = SparseCosts(dense=1.0, blocks=(1.9, 1.25, 1.08, 1.05), row_of_blocks=3.0)


def test_where_blocks_are_no_faster_layers_stay_dense(wise: Path) -> None:
    rows = texts(64)
    wanted = asked.of(fresh(wise), rows, None)
    # 96x32 qkv, 32x32 output, 64x32 and 32x64: the output costs next to nothing
    known = {(96, 32): 30.0, (32, 32): 1e-6, (64, 32): 20.0, (32, 64): 20.0}
    table = LatencyTable(isa="avx2", tokens=128, threads=1, costs=COSTS, dense_us=known)
    how = config(
        allocation="latency", sparsity=0.7, training=replace(TRAINING, epochs=2, batch_size=8)
    )
    made, report = prune(fresh(wise), rows, wanted, how, latency=table)
    zero, total = zero_blocks(made.model, "4x4")
    assert zero == round(0.7 * total)
    assert made.lineage["latency"]["dense_us"][0] == [32, 32, 1e-6]
    assert report.layers["layers.0.attention.output"] == 0.0
    # rows of blocks so dear that 1x4 never pays
    dear = replace(table, costs=replace(COSTS, row_of_blocks=1000.0))
    with pytest.raises(TrainingError, match=r"layers that get faster can lose at most 0\.00%"):
        prune(fresh(wise), rows, wanted, replace(how, pattern="1x4"), latency=dear)
    width = width_of(fresh(wise).model)
    measured = latency_table(width, Structure(ffn=40), tokens=16)
    assert sorted(measured.dense_us) == [(32, 32), (32, 40), (40, 32), (96, 32)]


@pytest.mark.parametrize("architecture", ["distilbert", "roberta"])
def test_other_encoders_and_the_way_to_an_artifact(
    zoo: Callable[..., Path], tmp_path: Path, architecture: str
) -> None:
    """4x4 at 80 %: in transformers, in the engine by blocks without a flag, as an artifact."""
    shape = replace(SHAPE, hidden=64, ffn=128)
    encoder = zoo(architecture, "feature-extraction", shape=shape)
    start = teacher.prepare(encoder, ("no", "yes"), TRAINING)
    rows = texts(48)
    how = config(sparsity=0.8, allocation="uniform", schedule=Schedule(every=1))
    made, _ = prune(start, rows, asked.of(start, rows, None), how)
    directory = made.save(tmp_path / "pruned")
    import transformers

    again = transformers.AutoModelForSequenceClassification.from_pretrained(directory)
    assert zero_blocks(again, "4x4") == zero_blocks(made.model, "4x4")
    assert same(bits(again), bits(made.model))
    described = load(directory, precision="int8").describe()
    inside = [one for one in described["layers"] if one["name"].startswith("layers.")]
    assert len(inside) == 8
    for one in inside:
        assert one["block"] == [4, 4], one
        assert one["pattern"] is not None, one
        assert one["sparsity"] == pytest.approx(0.8, abs=0.01)
        assert one["note"] is None
    done = export(made, tmp_path / "artifact", "int8")
    assert done.report.passed
    stored = load(tmp_path / "artifact").describe()
    blocks = {one["name"]: one["block"] for one in stored["layers"]}
    assert blocks["layers.1.ffn.out"] == [4, 4]
    dense = export(start, tmp_path / "dense", "fp32")
    assert done.size_bytes < dense.size_bytes


@pytest.mark.parametrize("task", ["token-classification", "question-answering", "sentences"])
def test_every_task_and_the_teachers_inside(zoo: Callable[..., Path], task: str) -> None:
    rows: Any = {
        "token-classification": task_rows.tags,
        "question-answering": task_rows.questions,
        "sentences": task_rows.sentences,
    }[task](40)
    encoder = zoo("bert", "feature-extraction", shape=SHAPE)
    training = replace(TRAINING, epochs=2, max_tokens=48)
    start = teacher.prepare(encoder, rows.names, training, rows.problem, rows.task)
    student = teacher.prepare(encoder, rows.names, training, rows.problem, rows.task)
    inside = IntermediateConfig(hidden_weight=1.0, relation_weight=1.0)
    how = config(
        schedule=Schedule(every=1),
        distil=DistilConfig(soft_weight=1.0, inside=inside, training=training),
    )
    made, report = prune(student, rows, asked.of(start, rows, None), how, teacher=start)
    zero, total = zero_blocks(made.model, "4x4")
    assert zero == round(0.5 * total)
    assert np.isfinite(report.training.last_loss)


def test_two_processes_choose_the_mask_of_one(
    wise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    threads = torch.get_num_threads()
    monkeypatch.setattr(sys, "argv", [str(program), str(wise), str(tmp_path / "alone")])
    try:
        runpy.run_path(str(program))
    finally:
        torch.set_num_threads(threads)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", str(program), str(wise), str(tmp_path / "both")]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    alone = torch.load(tmp_path / "alone-0", weights_only=True)
    first, second = (torch.load(tmp_path / f"both-{i}", weights_only=True) for i in (0, 1))
    assert same(first, second)
    # sums in another order differ in their last digits, and so may the blocks on the threshold
    inside = [n for n in alone if ".layer." in n and alone[n].dim() == 2]
    alike = [((first[n] == 0) == (alone[n] == 0)).float().mean().item() for n in inside]
    assert np.mean(alike) > 0.99


_PROGRAM = """
import sys
import numpy as np, torch
from limbeck.forge import checkpoint, processes
from limbeck.forge.distil import DistilConfig
from limbeck.forge.examples import training_set
from limbeck.forge.prune import PruneConfig, Schedule, prune
from limbeck.forge.training import TrainingConfig

torch.set_num_threads(1)
training = TrainingConfig(epochs=2, batch_size=8, learning_rate=1e-3, precision="fp32")
config = PruneConfig(
    criterion="movement",
    sparsity=0.5,
    schedule=Schedule(every=1),
    distil=DistilConfig(soft_weight=1.0, training=training),
)
with processes.joined() as group:
    draw = np.random.default_rng(3)
    words = ["good", "bad", "warm", "cold", "house", "room"]
    rows = [(" ".join(draw.choice(words, 4)), None, draw.choice(["no", "yes"])) for _ in range(41)]
    student = checkpoint.load(sys.argv[1])
    for module in student.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # every process draws for itself
    made, report = prune(
        student,
        training_set(rows, ("no", "yes")),
        draw.normal(size=(41, 2)).astype(np.float32),
        config,
    )
    assert report.training.steps == 12, report
    torch.save(made.model.state_dict(), f"{sys.argv[2]}-{group.rank}")
"""
