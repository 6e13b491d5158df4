"""From settings to a model that is loaded, checked and warm. Runs in a thread of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from limbeck import pipeline
from limbeck.errors import LimbeckError, ModelError
from limbeck.pipeline import together
from limbeck.runtimes import Model, Output, load
from limbeck.serve.breaker import Breaker
from limbeck.serve.models.hosted import Hosted
from limbeck.serve.scheduler import CostModel
from limbeck.serve.settings import BreakerSettings, ModelSettings

# Rows and tokens of the batches that a model is warmed with: its cost is fitted to their times.
# They stay small, for the server is not ready before, or is answering others meanwhile.
_WARM_BATCHES = ((1, 16), (1, 64), (4, 32), (1, 256), (8, 64))
# Those that are to have all threads: several rows are mostly shared out instead.
_WARM_ALONE = ((1, 16), (1, 64), (1, 256))
_WARM_WORD = "a "
_LONG_S = 0.01

LoadModel = Callable[[ModelSettings], Model]
_log = logging.getLogger("limbeck.serve.models")


def load_model(settings: ModelSettings, *, threads: int | None, instances: int) -> Model:
    """The model of some settings, through `limbeck.load`.

    Raises:
        LimbeckError: see there.
    """
    return load(
        settings.path,
        precision=settings.precision,
        runtime=settings.runtime,
        device=settings.device,
        task=settings.task,
        threads=threads,
        instances=instances,
    )


def host(
    settings: ModelSettings, loading: LoadModel, breaker: BreakerSettings, *, generation: int
) -> Hosted:
    """Load, check the digest, warm up.

    Raises:
        LimbeckError: it cannot be loaded, is not the one that was asked for, or does not compute.
    """
    model = loading(settings)
    if settings.digest is not None and model.digest != settings.digest:
        raise ModelError(
            f"{settings.path} has digest {model.digest}, and the configuration asks for "
            f"{settings.digest}"
        )
    pipe = pipeline(model.spec.task.task, model, **settings.options)
    cost, alone = CostModel.from_samples(warm(model)), None
    described = model.describe()
    instances, arena = int(described.get("instances", 1)), int(described.get("arena_bytes", 0))
    # That of the one instance that has run by now; under load each has its own.
    arenas = instances * arena
    if instances > 1:
        alone = CostModel.from_samples(warm(model, alone=True))
        arenas += int(model.describe().get("arena_bytes", 0)) - arena
        _warn_of_long_texts(model, settings, cost)
    return Hosted(
        pipe,
        settings,
        generation=generation,
        size_bytes=int(described.get("weights_bytes", 0)) + arenas,
        cost=cost,
        alone=alone,
        breaker=Breaker(breaker),
        output=output_of(model),
        precision=str(described.get("precision", settings.precision)),
    )


def _warn_of_long_texts(model: Model, settings: ModelSettings, cost: CostModel) -> None:
    """Texts that one instance answers too late are refused, however many threads are idle."""
    longest = _longest(model)
    seconds = cost.predict(longest, longest**2)
    if seconds > settings.deadline_ms / 1000:
        _log.warning(
            "%s: a text of %d tokens takes about %.0f ms in one instance, and its deadline is "
            "%.0f ms: it will be refused; with fewer --instances each has more threads",
            settings.name,
            longest,
            1000 * seconds,
            settings.deadline_ms,
        )


def _longest(model: Model) -> int:
    return min(model.spec.task.max_tokens, model.spec.encoder.max_tokens)


def warm(model: Model, *, alone: bool = False) -> list[tuple[list[int], float]]:
    """Run batches of several shapes; their lengths, and the seconds that each took.

    alone: with the threads of all instances.

    Raises:
        ModelError: the scores are no finite numbers.
    """
    output = output_of(model)
    longest = _longest(model)
    tokenizer = model.tokenizer()
    samples = []
    for rows, tokens in _WARM_ALONE if alone else _WARM_BATCHES:
        tokens = max(tokenizer.special_tokens() + 1, min(tokens, longest))
        encoded = tokenizer.encode([_WARM_WORD * tokens] * rows, max_tokens=tokens)
        seconds: list[float] = []
        # The first of short ones is slower than what follows; of long ones hardly.
        while len(seconds) < 2 and sum(seconds) < _LONG_S:
            began = time.perf_counter()
            answers = together(model, encoded, output, alone=alone)
            seconds.append(time.perf_counter() - began)
        if not all(bool((row == row).all()) for row in answers):
            raise ModelError(f"{model.source} answers a test text with numbers that are none")
        samples.append(([len(one) for one in encoded], max(min(seconds), 1e-6)))
    return samples


def output_of(model: Model) -> Output:
    """What the model's own task asks of it."""
    task = model.spec.task
    if task.task == "feature-extraction":
        return "hidden"
    if task.task == "sentence-embedding":
        return task.pooling[0] if len(task.pooling) == 1 else "hidden"
    return "logits"


def explain(error: BaseException) -> str:
    """What went wrong, in one line for logs and probes."""
    text = str(error).strip().split("\n")[0]
    return text if isinstance(error, LimbeckError) and text else f"{type(error).__name__}: {text}"
