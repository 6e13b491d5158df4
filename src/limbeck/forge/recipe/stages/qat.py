"""Stage "qat": the model so far learns to live with int8's rounding, by the teacher's answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from limbeck.forge import asking, checkpoint
from limbeck.forge.answers import Answers
from limbeck.forge.checkpoint import Checkpoint
from limbeck.forge.quantize.qat import QatConfig, qat
from limbeck.forge.recipe.stage import Figures, Stage, Work
from limbeck.forge.recipe.stages.teacher import OF_THE_RUN
from limbeck.forge.recipe.toml_values import WITHOUT


@dataclass(frozen=True, kw_only=True)
class QatStage:
    """qat: how to train; it runs in fp32 whatever the run's precision. transfer: whether it also
    learns from [data]'s transfer texts, where there are any."""

    transfer: bool = True
    # where texts are cut is the teacher's affair
    qat: QatConfig = field(
        default_factory=QatConfig, metadata={WITHOUT: (*OF_THE_RUN, "max_tokens")}
    )


def inputs(config: QatStage, work: Work) -> Mapping[str, str]:
    found = {"teacher": work.last("teacher").digest, "train": work.rows.train.digest}
    if config.transfer and work.rows.transfer is not None:
        found["transfer"] = work.rows.transfer.digest
    return found


def run(config: QatStage, work: Work, directory: Path) -> Figures:
    wise = checkpoint.load(work.last("teacher").directory)
    student = checkpoint.load(work.outputs[-1].directory)
    rows = work.rows.train if not config.transfer else work.rows.with_transfer()
    # the others read from the cache what the first process wrote
    work.team.ahead(lambda: _asked(config, work, wise))
    wanted = _asked(config, work, wise)
    how = config.qat.distil
    settings = dataclasses.replace(
        config.qat, distil=dataclasses.replace(how, training=work.training(how.training))
    )
    made, report = qat(student, rows, wanted, settings, teacher=wise, saves=work.saves)
    work.save(made, directory)
    return report.as_dict()


def _asked(config: QatStage, work: Work, wise: Checkpoint) -> Answers:
    return asking.ask(
        (wise,),
        work.rows.train if not config.transfer else work.rows.with_transfer(),
        temperature=config.qat.distil.temperature,
        cache=work.logits,
    )


STAGE = Stage(
    kind="qat",
    takes=("teacher", "student", "pruned"),
    gives="quantized",
    config=QatStage,
    run=run,
    inputs=inputs,
    together=True,
)
