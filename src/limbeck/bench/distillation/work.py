"""Training and scoring, each done once: what is there under a run's key is taken from there.

`CACHE/KEY/` holds `model/` (a Hugging Face directory), `int8/` (the artifact), `run.json` (how the
training went) and `scored-...npz` (what is known of each row after an answer, so that intervals can
be made again). Everything gets its name when it is whole, so that a killed run goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limbeck import evaluation, runtimes
from limbeck.bench.distillation.digests import of_examples
from limbeck.bench.distillation.plan import STUDENT_LAYERS, Precision, Run
from limbeck.bench.distillation.sets import Rows
from limbeck.errors import InputError
from limbeck.evaluation import Examples, Values
from limbeck.evaluation.examples import Problem
from limbeck.forge import checkpoint, distil, ensemble, export, logits, online, progress
from limbeck.forge import students as start
from limbeck.forge import teacher as teachers
from limbeck.forge.checkpoint import Checkpoint, Student
from limbeck.forge.saves import Saves
from limbeck.forge.training import TrainingReport


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A model's answers to rows to measure on, and how long they took."""

    problem: Problem
    values: Values
    tokens: int
    seconds: float


class Workshop:
    """Trains and scores runs, and keeps what comes of it under `cache`."""

    def __init__(self, cache: Path, encoder: Path) -> None:
        self.cache, self.encoder = cache, encoder

    def directory(self, run: Run) -> Path:
        return self.cache / run.key

    def is_trained(self, run: Run) -> bool:
        return (self.directory(run) / "run.json").is_file()

    def report(self, run: Run) -> dict[str, Any]:
        """What the training of a run said of itself.

        Raises:
            InputError: the file is damaged.
        """
        file = self.directory(run) / "run.json"
        try:
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{file} cannot be read ({error}); delete its directory") from None
        return found

    def train(self, run: Run, rows: Rows) -> None:
        """Train a run, unless that was done; the runs that it needs must have been."""
        if self.is_trained(run):
            return
        model, report = self._trained(run, rows)
        with self._named(self.directory(run)) as directory:
            model.save(directory / "model")
            facts = {
                "run": str(run),
                "data set": run.data_set.name,
                "role": run.role,
                "seed": run.seed,
                "parameters": model.parameters,
                **report.as_dict(),
            }
            _write(directory / "run.json", json.dumps(facts, indent=2).encode())
        shutil.rmtree(self._unfinished(run), ignore_errors=True)

    def _unfinished(self, run: Run) -> Path:
        """Where the state of a training lies until it is done."""
        return self.cache / "unfinished" / run.key

    def _trained(self, run: Run, rows: Rows) -> tuple[Checkpoint, TrainingReport]:
        saves = Saves(directory=self._unfinished(run))
        if run.method is None:
            return teachers.finetune(self.encoder, rows.train, run.training, saves=saves)
        asked = [self._load(needed) for needed in run.needs]
        wise, config = asked[0], run.distil
        if run.method.peers > 1:
            peers = _peers(wise, run.method.peers)
            made, report = online.online(peers, rows.train, config, saves=saves)
            return made[0], report
        learned = rows.train
        if run.method.transfer:
            assert rows.transfer is not None
            learned = learned.joined(rows.transfer)  # type: ignore[arg-type]
        # with labels alone their weight is 0, and they are there for the other methods
        told = [
            logits.of(one, learned, self.cache / "logits")
            for one in asked[: max(1, run.method.teachers)]
        ]
        wanted = told[0]
        if len(told) > 1:
            wanted = ensemble.combine(
                told, "mean", temperature=config.temperature, problem=learned.problem
            )
        student = start.every_other_layer(wise, STUDENT_LAYERS, beside=asked[1:])
        return distil.offline(student, learned, wanted, config, teacher=wise, saves=saves)

    def _load(self, run: Run) -> Checkpoint:
        return checkpoint.load(self.directory(run) / "model")

    def artifact(self, run: Run) -> Path:
        """The verified int8 artifact of a run's model."""
        out = self.directory(run) / "int8"
        if not out.is_dir():
            export.export(self.directory(run) / "model", out, "int8", task=_task(run))
        return out

    def size_mb(self, run: Run, precision: Precision) -> float:
        """Megabytes of the weights' files as they are stored."""
        folder = self.directory(run) / ("int8" if precision == "int8" else "model")
        return sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e6

    def scored_file(self, run: Run, precision: Precision, rows: str, scoring: str) -> Path:
        return self.directory(run) / f"scored-{precision}-{rows[:8]}-{scoring[:8]}.npz"

    def answer(self, run: Run, precision: Precision, rows: Examples, scoring: str) -> Answered:
        """A trained run's answers to rows, through the engine, unless that was done.

        Args:
            scoring: digest of the code that scores.

        Raises:
            InputError: a file that is kept is damaged.
        """
        file = self.scored_file(run, precision, of_examples(rows), scoring)
        if not file.is_file():
            if precision == "int8":
                model = runtimes.load(self.artifact(run))
            else:
                model = runtimes.load(
                    self.directory(run) / "model", precision="fp32", task=_task(run)
                )
            began = time.perf_counter()
            with progress.bar(f"{run} {precision}", len(rows)) as shown:
                scored = evaluation.score(model, rows, advance=shown.advance)
            seconds = time.perf_counter() - began
            longest = run.data_set.max_tokens
            tokens = int(np.minimum(scored.tokens, longest).sum())
            with self._named(file) as temporary, temporary.open("wb") as opened:
                about = {"about.tokens": np.int64(tokens), "about.seconds": np.float64(seconds)}
                np.savez_compressed(opened, **about, **scored.values)  # type: ignore[arg-type]
        try:
            with np.load(file, allow_pickle=False) as kept:
                values = {name: kept[name] for name in kept.files if not name.startswith("about.")}
                return Answered(
                    problem=rows.problem,
                    values=values,
                    tokens=int(kept["about.tokens"]),
                    seconds=float(kept["about.seconds"]),
                )
        except Exception as error:  # zipfile, numpy and the operating system all have their own
            raise InputError(f"{file} cannot be read ({error}); delete the file") from None

    @contextmanager
    def _named(self, target: Path) -> Iterator[Path]:
        """A path beside the target, which takes the target's name when the block ends well.

        Where the target has no ending, it is a directory, and is there.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as scratch:
            path = Path(scratch) / target.name
            if not target.suffix:
                path.mkdir()
            yield path
            if target.is_dir():  # the rest of a run that was deleted in part
                shutil.rmtree(target)
            _sync(path)
            os.replace(path, target)


def _task(run: Run) -> str:
    problem = run.data_set.problem
    return problem if problem == "question-answering" else "text-classification"


def _peers(wise: Checkpoint, count: int) -> list[Student]:
    """Students that begin as different layers of one teacher: 0, 2, 4 and 1, 3, 5."""
    depth = int(wise.model.config.num_hidden_layers)
    first = start.spread_layers(depth, STUDENT_LAYERS)
    room = depth - 1 - first[-1]
    return [
        start.from_layers(wise, [layer + min(shift, room) for layer in first])
        for shift in range(count)
    ]


def _write(file: Path, data: bytes) -> None:
    with file.open("wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())


def _sync(path: Path) -> None:
    for file in [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]:
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
