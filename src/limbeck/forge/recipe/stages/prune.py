"""Stage "prune": blocks of a trained model's layers go while it learns from the teacher."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from limbeck.engine import LatencyTable
from limbeck.errors import InputError
from limbeck.forge import asking, checkpoint
from limbeck.forge.answers import Answers
from limbeck.forge.checkpoint import Checkpoint
from limbeck.forge.narrowing import Width
from limbeck.forge.prune import PruneConfig, latency_table, prune
from limbeck.forge.recipe import store
from limbeck.forge.recipe.stage import Figures, Stage, Work
from limbeck.forge.recipe.stages.teacher import OF_THE_RUN
from limbeck.forge.recipe.toml_values import WITHOUT
from limbeck.huggingface.configuration import encoder_spec


@dataclass(frozen=True, kw_only=True)
class PruneStage:
    """transfer: whether it also learns from [data]'s transfer texts, where there are any. tokens,
    threads: of a call, for allocation = "latency"; the machine is measured once in a run."""

    transfer: bool = True
    tokens: int = 128
    threads: int = 1
    # where texts are cut is the teacher's affair
    prune: PruneConfig = field(
        default_factory=PruneConfig, metadata={WITHOUT: (*OF_THE_RUN, "max_tokens")}
    )

    def __post_init__(self) -> None:
        for name in ("tokens", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, found {getattr(self, name)}")


def inputs(config: PruneStage, work: Work) -> Mapping[str, str]:
    found = {"teacher": work.last("teacher").digest, "train": work.rows.train.digest}
    if config.transfer and work.rows.transfer is not None:
        found["transfer"] = work.rows.transfer.digest
    latency = _latency(config, work)
    if latency is not None:
        found["latency"] = store.digest_of(latency.as_dict())
    return found


def run(config: PruneStage, work: Work, directory: Path) -> Figures:
    wise = checkpoint.load(work.last("teacher").directory)
    student = checkpoint.load(work.outputs[-1].directory)
    rows = work.rows.train if not config.transfer else work.rows.with_transfer()
    # the others read from the cache what the first process wrote
    work.team.ahead(lambda: _asked(config, work, wise))
    how = config.prune.distil
    settings = dataclasses.replace(
        config.prune, distil=dataclasses.replace(how, training=work.training(how.training))
    )
    made, report = prune(
        student,
        rows,
        _asked(config, work, wise),
        settings,
        teacher=wise,
        saves=work.saves,
        latency=_latency(config, work),
    )
    work.save(made, directory)
    return report.as_dict()


def _asked(config: PruneStage, work: Work, wise: Checkpoint) -> Answers:
    rows = work.rows.train if not config.transfer else work.rows.with_transfer()
    return asking.ask([wise], rows, temperature=config.prune.distil.temperature, cache=work.logits)


def _latency(config: PruneStage, work: Work) -> LatencyTable | None:
    """What this run was once told about the machine; measured when it is first asked for."""
    if config.prune.allocation != "latency":
        return None
    model = work.outputs[-1].directory
    encoder = encoder_spec(json.loads((model / "config.json").read_text("utf-8")))
    structure = config.prune.structure
    asked = [encoder.hidden, structure.ffn or encoder.ffn, config.tokens, config.threads]
    file = work.inputs / f"latency-{store.digest_of(asked)[:16]}.json"
    kept = store.read_json(file)
    if kept is None:
        width = Width(hidden=encoder.hidden, heads=encoder.heads, ffn=encoder.ffn)
        table = latency_table(width, structure, tokens=config.tokens, threads=config.threads)
        file.parent.mkdir(parents=True, exist_ok=True)
        store.write_json(file, table.as_dict())
        return table
    return LatencyTable.from_dict(kept)


STAGE = Stage(
    kind="prune",
    takes=("teacher", "student", "pruned"),
    gives="pruned",
    config=PruneStage,
    run=run,
    inputs=inputs,
    together=True,
)
