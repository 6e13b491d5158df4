"""The demo from beginning to end: texts -> teacher -> student -> artifact -> figures."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from limbeck import artifact, engine, measure, runtimes
from limbeck.data import listings
from limbeck.forge import budget, checkpoint, export, logits, students, training
from limbeck.forge import teacher as teachers
from limbeck.forge.demo import detectors, evidence, scoreboard
from limbeck.forge.demo.corpus import LabelledTexts, ListingCorpus, OwnCorpus, open_corpus
from limbeck.forge.demo.detectors import Detector
from limbeck.forge.demo.encoder import default_encoder
from limbeck.forge.demo.marked import window_cutter
from limbeck.forge.demo.scoreboard import Figures, Scores
from limbeck.forge.demo.settings import DemoSettings
from limbeck.forge.demo.stages import Stages
from limbeck.forge.distil import DistilConfig
from limbeck.forge.examples import TrainingSet
from limbeck.forge.export import Exported
from limbeck.forge.training import TrainingConfig, TrainingReport
from limbeck.measure import Timing
from limbeck.pipeline import pipeline
from limbeck.spec import Threshold

BATCH_SIZE = 32
TEACHER_RATE, STUDENT_RATE = 2e-4, 4e-4
AVERAGE_DECAY = 0.995
# Of the time for training, the teacher's part; of the rest so much, by the speeds of the probe, is
# planned for rows that the student has not seen: more rows weigh more than a better teacher.
TEACHER_SHARE, FRESH_SHARE = 1 / 3, 1.0
TIMED_TOKENS = 512
# What the steps without a plan of their own take on two cores: fitting and asking the baselines,
# converting, verifying, timing, writing the report. Generous, for the budget is a promise.
_OTHER_STEPS_S = 60.0
# The engine in int8 on half the layers against fp32 on all of them: at least so much faster, though
# it reads suspicious texts several times.
_STUDENT_SPEEDUP = 2.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """One detector with all that was found about it."""

    detector: Detector
    threshold: float
    test: Figures
    unseen: Figures | None
    timing: Timing
    test_scores: Scores


@dataclass(frozen=True, kw_only=True)
class LongTexts:
    """Texts of 2,000 words: how many leaks in the last sentence were found, in the last window."""

    found: int
    of: int
    false_alarms: int
    clean: int
    words: int


@dataclass(frozen=True, kw_only=True, eq=False)
class DemoResult:
    """Everything that the table, the report and measured.json show."""

    settings: DemoSettings
    corpus: ListingCorpus | OwnCorpus
    outcomes: Sequence[Outcome]
    test: LabelledTexts
    unseen: LabelledTexts | None
    exported: Exported
    teacher_report: TrainingReport
    student_report: TrainingReport
    plan: budget.Plan
    speeds: tuple[budget.Speed, budget.Speed]
    long_texts: LongTexts | None
    seconds: dict[str, float]
    lineage: dict[str, Any]


def run(settings: DemoSettings, console: Console) -> DemoResult:
    """Run the demo; says what it does on `console` while it goes.

    Raises:
        LimbeckError: a model or a file that cannot be used, training that fails, or an artifact
            that does not answer as its source.
    """
    torch.set_num_threads(engine.available_cpus())
    clock = budget.Clock.start(60 * settings.minutes)
    stages = Stages(console=console)
    sizes = settings.sizes
    artifact.check_target(settings.artifact)

    with stages.stage("texts") as notes:
        corpus = open_corpus(settings.data, settings.seed, sizes)
        validation, test, unseen = corpus.validation(), corpus.test(), corpus.unseen()
        notes.say(
            f"{corpus.description}; validation {len(validation)}, test {len(test)} "
            f"({test.negatives} without)" + (f", unseen notations {len(unseen)}" if unseen else "")
        )

    with stages.stage("encoder and speed") as notes:
        encoder = settings.teacher or default_encoder()
        base = TrainingConfig(
            batch_size=BATCH_SIZE,
            learning_rate=TEACHER_RATE,
            max_tokens=settings.window_tokens,
            seed=settings.seed,
            dropout=0.0,
            freeze_embeddings=True,
            average_decay=AVERAGE_DECAY,
        )
        teacher = teachers.prepare(encoder, corpus.names, base)
        student = students.every_other_layer(teacher, settings.layers)
        cut = window_cutter(teacher.tokenizer, teacher.max_tokens, settings.seed)
        probe_rows = corpus.training(512, cut).rows
        tokenised = training.tokenise(teacher.tokenizer, probe_rows, settings.window_tokens)
        precision = training.probe_precision(teacher.model, tokenised, BATCH_SIZE).chosen
        speeds = (
            budget.measure_speed(teacher.model, tokenised, BATCH_SIZE, precision),
            budget.measure_speed(student.model, tokenised, BATCH_SIZE, precision),
        )
        speeds = (replace(speeds[0], scoring=_engine_speed(teacher, probe_rows)), speeds[1])
        asked = [*validation.first(sizes.teacher_validation).texts, *test.texts]
        asked += unseen.texts if unseen else ()
        judging_s = _judging_seconds(teacher, asked, validation.texts)
        reserve_s = judging_s + (15.0 if settings.quick else _OTHER_STEPS_S)
        plan = budget.plan(
            max(30.0, clock.left - reserve_s),
            teacher=speeds[0],
            student=speeds[1],
            tokens_per_row=float(tokenised.lengths.mean()),
            teacher_rows_at_most=sizes.training_at_most,
            transfer_rows_at_most=sizes.transfer_at_most,
            shares=budget.Shares(
                teacher=TEACHER_SHARE,
                transfer_caution=FRESH_SHARE,
                max_epochs=1.0 if settings.quick else 4.0,
            ),
        )
        notes.say(
            f"{teacher.parameters / 1e6:.1f} M parameters; {precision}: {speeds[0].training:.0f} "
            f"tokens/s in training, {speeds[0].scoring:.0f} asked through the engine; "
            f"{clock.left:.0f} s left, {reserve_s:.0f} s of them for measuring"
        )

    with stages.stage("teacher") as notes:
        rows = corpus.training(plan.teacher_rows, cut)
        config = replace(
            base, epochs=plan.teacher_epochs, precision=precision, max_seconds=plan.teacher_s
        )
        roles = evidence.token_roles(rows, teacher.tokenizer, teacher.max_tokens)
        teacher, teacher_report = evidence.finetune(teacher, rows.rows, roles, config)
        notes.say(_trained(teacher_report, len(rows)))

    with stages.stage("teacher's logits") as notes:
        transfer = corpus.transfer(plan.transfer_rows, cut)
        wanted = logits.by_engine(teacher, transfer.rows)
        roles = evidence.token_roles(transfer, teacher.tokenizer, teacher.max_tokens)
        notes.say(f"on {len(transfer)} further rows, by the engine in int8")

    with stages.stage("student") as notes:
        student = students.every_other_layer(teacher, settings.layers)
        student_s = max(10.0, min(clock.left - reserve_s, 2 * plan.student_s))
        distil_config = DistilConfig(
            temperature=2.0,
            soft_weight=0.5,
            training=replace(
                config,
                epochs=plan.student_epochs,
                learning_rate=STUDENT_RATE,
                max_seconds=student_s,
                seed=settings.seed + 1,
            ),
        )
        student, student_report = evidence.distil(
            student, transfer.rows, roles, wanted, distil_config
        )
        layers = student.model.config.num_hidden_layers
        notes.say(f"{layers} layers; " + _trained(student_report, len(transfer)))

    with stages.stage("artifact") as notes:
        # the artifact first: the checkpoints then lie in it as files of somebody else's
        exported = export.export(student, settings.artifact, "int8")
        teacher_directory = teacher.save(settings.out / "teacher")
        student.save(settings.out / "student")
        notes.say(
            f"int8, {exported.size_bytes / 1e6:.1f} MB, verified on {exported.report.tokens} tokens"
        )

    with stages.stage("threshold") as notes:
        model = runtimes.load(settings.artifact)
        judged = detectors.student(model, exported.size_bytes)
        student_validation = judged.scores(validation.texts)
        decide_at = scoreboard.threshold(student_validation, validation, settings.false_alarm_rate)
        # the decision belongs to the artifact, so the artifact is made again with it
        exported = export.export(
            student,
            settings.artifact,
            "int8",
            threshold=Threshold(
                label=corpus.names[1],
                value=decide_at,
                false_alarm_rate=settings.false_alarm_rate,
            ),
        )
        model = runtimes.load(settings.artifact)
        notes.say(
            f"{decide_at:.4f}, for {settings.false_alarm_rate:.2%} false alarms on "
            f"{validation.negatives} validation texts"
        )

    contestants: list[tuple[Detector, Scores, LabelledTexts]] = []
    with stages.stage("baselines") as notes:
        seen = rows.rows.take(range(min(len(rows), teacher_report.rows_seen)))
        fitted = detectors.tfidf(_both(seen, transfer.rows), settings.seed)
        rivals = [fitted]
        if corpus.is_listings:
            rivals.insert(0, detectors.regex_rules())
        contestants = [(rival, rival.scores(validation.texts), validation) for rival in rivals]
        notes.say(", ".join(rival.name for rival in rivals))

    with stages.stage("measuring") as notes:
        few = validation.first(sizes.teacher_validation)
        in_engine = runtimes.load(teacher_directory, precision="fp32")
        detectors.check_same_answers(teacher, in_engine, test.texts[:32])
        judge = detectors.teacher(teacher, in_engine)
        contestants.append((judge, judge.scores(few.texts), few))
        own = detectors.student(model, exported.size_bytes)
        contestants.append((own, student_validation, validation))
        timings = _timings(
            [detector for detector, *_ in contestants], _timed_text(model), sizes.timing_rounds
        )
        outcomes = []
        for detector, scores, chosen_on in contestants:
            outcomes.append(
                _outcome(
                    detector,
                    scoreboard.threshold(scores, chosen_on, settings.false_alarm_rate),
                    test,
                    unseen,
                    timings[detector.name],
                    settings.false_alarm_rate,
                )
            )
        notes.say(f"{len(test) + (len(unseen) if unseen else 0)} texts by four detectors")

    with stages.stage("long texts") as notes:
        long_texts = _long_texts(model, corpus)
        if long_texts is not None:
            notes.say(
                f"{long_texts.found} of {long_texts.of} leaks in the last sentence of 2,000 words "
                f"found; {long_texts.false_alarms} false alarms in {long_texts.clean} without"
            )
    return DemoResult(
        settings=settings,
        corpus=corpus,
        outcomes=outcomes,
        test=test,
        unseen=unseen,
        exported=exported,
        teacher_report=teacher_report,
        student_report=student_report,
        plan=plan,
        speeds=speeds,
        long_texts=long_texts,
        seconds=dict(stages.seconds),
        lineage=dict(student.lineage),
    )


def _engine_speed(teacher: checkpoint.Checkpoint, rows: TrainingSet) -> float:
    """Tokens a second at which the engine in int8 gives the teacher's logits, loading included."""
    tokens = int(training.tokenise(teacher.tokenizer, rows, teacher.max_tokens).lengths.sum())
    start = time.perf_counter()
    logits.by_engine(teacher, rows)
    return tokens / (time.perf_counter() - start)


def _judging_seconds(
    teacher: checkpoint.Checkpoint, texts: Sequence[str], student_texts: Sequence[str]
) -> float:
    """What it will take the engine to score these texts: the teacher in fp32, and the student."""
    sample = list(texts[:: max(1, len(texts) // 96)])
    with tempfile.TemporaryDirectory(prefix="limbeck-") as directory:
        model = runtimes.load(teacher.save(Path(directory) / "teacher"), precision="fp32")
        judge = detectors.teacher(teacher, model)
        judge.scores(sample[:8])
        start = time.perf_counter()
        judge.scores(sample)
        per_text = (time.perf_counter() - start) / len(sample)
    return per_text * (len(texts) + (len(student_texts) + len(texts)) / _STUDENT_SPEEDUP)


def _trained(report: TrainingReport, rows: int) -> str:
    ended = ", ended by the clock" if report.stopped_by == "seconds" else ""
    return (
        f"{report.steps} steps on {rows} rows ({report.rows_seen / rows:.2f} epochs, "
        f"{report.tokens_per_second:.0f} tokens/s), "
        f"loss {report.first_loss:.3f} -> {report.last_loss:.3f}{ended}"
    )


def _both(first: TrainingSet, second: TrainingSet) -> TrainingSet:
    """Both sets as one, equal texts once."""
    seen = set(first.texts)
    fresh = [index for index, text in enumerate(second.texts) if text not in seen]
    more = second.take(fresh)
    return replace(
        first,
        texts=first.texts + more.texts,
        labels=np.concatenate([first.labels, more.labels]),
    )


def _outcome(
    detector: Detector,
    decide_at: float,
    test: LabelledTexts,
    unseen: LabelledTexts | None,
    timing: Timing,
    rate: float,
) -> Outcome:
    scores = detector.scores(test.texts)
    test_figures = scoreboard.figures(scores, test, decide_at, rate)
    unseen_figures = None
    if unseen is not None:
        # the unseen notations stand against the test set's negatives, so that both rates are alike
        negatives = scores[np.array(test.labels) == 0]
        both = unseen + test.negatives_only()
        found = np.concatenate([detector.scores(unseen.texts), negatives])
        unseen_figures = scoreboard.figures(found, both, decide_at, rate)
    return Outcome(
        detector=detector,
        threshold=decide_at,
        test=test_figures,
        unseen=unseen_figures,
        timing=timing,
        test_scores=scores,
    )


def _timings(contestants: Sequence[Detector], text: str, rounds: int) -> dict[str, Timing]:
    """One text of TIMED_TOKENS tokens, by each in turn."""
    return measure.interleave(
        {detector.name: lambda d=detector: d.once(text) for detector in contestants},  # type: ignore[misc]
        rounds=rounds,
    )


def _timed_text(model: runtimes.Model) -> str:
    """A fictional description of exactly TIMED_TOKENS tokens (or the model's most)."""
    longest = min(TIMED_TOKENS, model.spec.encoder.max_tokens)
    text = listings.compose_long(0, None, words=TIMED_TOKENS, leak_at="middle", fictional=True).text
    (encoded,) = model.tokenizer().encode([text], max_tokens=longest)
    assert len(encoded) == longest
    return text[: encoded.span[1]]


def _long_texts(model: runtimes.Model, corpus: ListingCorpus | OwnCorpus) -> LongTexts | None:
    """Read 2,000-word texts through the pipeline, as a user would, and look at the decisions."""
    leaking, clean = corpus.long_texts(True), corpus.long_texts(False)
    if not leaking:
        return None
    classify = pipeline(
        "text-classification", model, window=True, decide=True, return_window=True, top_k=None
    )
    label = corpus.names[1]
    found = 0
    for text, rows in zip(leaking, classify(leaking)):
        (answer,) = [row for row in rows if row["label"] == label]
        # found for the right reason: the window that decided holds the text's last words
        found += bool(answer["decision"]) and answer["end"] >= len(text.rstrip()) - 1
    return LongTexts(
        found=found,
        of=len(leaking),
        false_alarms=sum(bool(rows[0]["decision"]) for rows in classify(clean)),
        clean=len(clean),
        words=round(float(np.mean([len(text.split()) for text in leaking]))),
    )
