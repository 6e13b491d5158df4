"""The decision protocol: a transaction's texts -> one score, one label, and who contributed most.

POST /decision (and /v1/decision) {"transactionContext": {"transactionId", "attributes": {...}}}.

Each attribute is read whole, in windows, by the model that the configuration names; all attributes
of one model go in together. Its score is the probability of the positive label, and it decides for
that label where the score reaches its threshold. The transaction's score is the highest one, of
those attributes that reach their thresholds if any does, else of all; topContributor is the first
attribute that has it. The transaction id is idempotency key and the id of the request.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from limbeck.serve import explain, json_body, tracing
from limbeck.serve.models import Hosted
from limbeck.serve.protocols import fields
from limbeck.serve.protocols.asking import hosted as hosted_by
from limbeck.serve.protocols.base import Call, Context, Reply, Route
from limbeck.serve.protocols.decision_operation import PROTOCOL, operation
from limbeck.serve.protocols.refusing import coded
from limbeck.serve.protocols.transactions import Transactions
from limbeck.serve.refused import RefusedError
from limbeck.serve.request import PRIORITIES, Answer
from limbeck.serve.settings import AttributeSettings

_FIELDS = ("transactionContext", "explain", "timeout_ms", "priority")
# Visible ASCII: the id goes into a header and into logs.
ID_PATTERN: Final = r"^[!-~]{1,128}$"
_ID = re.compile(ID_PATTERN)
_DEFAULT_THRESHOLD = 0.5
# Parts of a text that an explanation tells apart; each costs as much as the text.
_MOST_PARTS = 64

# Probabilities of whole texts, whatever else the model's own options are.
_READING: Final[dict[str, Any]] = {
    "top_k": None,
    "function_to_apply": None,
    "decide": False,
    "window": True,
    "window_reduce": "max",
}

_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """What reads an attribute. positive, threshold: None for the model's own."""

    model: str | None
    version: str | None
    positive: str | None
    threshold: float | None

    @classmethod
    def of(cls, settings: AttributeSettings) -> _Reader:
        name, _, version = (settings.model or "").partition("/")
        return cls(
            model=name or None,
            version=version or None,
            positive=settings.positive,
            threshold=settings.threshold,
        )


@dataclass(frozen=True, kw_only=True)
class _Scored:
    """What was found of one attribute. tokens: about how many were read for it."""

    name: str
    text: str
    reader: _Reader
    hosted: Hosted
    score: float
    threshold: float
    tokens: float

    @property
    def reached(self) -> bool:
        return self.score >= self.threshold


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A transaction, checked."""

    identity: str
    attributes: Mapping[str, str]
    explain: bool
    timeout_s: float | None
    priority: int | None

    def digest(self) -> bytes:
        """Of what is decided on; not of how, nor of the order of attributes."""
        return hashlib.sha256(json_body.dump(sorted(self.attributes.items()))).digest()


def routes(context: Context) -> list[Route]:
    """The operations of this protocol."""
    decision = _Decision(context)
    return [
        Route(
            protocol=PROTOCOL,
            method="POST",
            path=path,
            handle=decision.decide,
            error=coded,
            operation=operation(identity, context.settings, ID_PATTERN),
        )
        for path, identity in (("/decision", "decide"), ("/v1/decision", "decideV1"))
    ]


def score_text(score: float) -> str:
    """A probability in three significant digits, as C's %.3g: "0.983", "1.02e-10", "0", "1"."""
    return format(score, ".3g")


class _Decision:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._limits = context.settings.limits
        self._rules = context.settings.decision
        self._readers = {name: _Reader.of(one) for name, one in self._rules.attributes.items()}
        self._default = _Reader.of(AttributeSettings())
        self._clock = time.monotonic
        self._transactions: Transactions[bytes] = Transactions(
            entries=self._rules.idempotency_entries,
            keep_s=self._rules.idempotency_s,
            clock_s=lambda: self._clock(),
        )

    async def decide(self, call: Call) -> Reply:
        asked = self._parse(call)
        _trace(call, asked.identity)
        fields.within_limits(list(asked.attributes.values()), self._limits)
        hosted = await self._hosted(call, self._reader(next(iter(asked.attributes))))
        longest_s = asked.timeout_s or hosted.settings.deadline_ms / 1000
        body = await self._transactions.once(
            (call.tenant.name, asked.identity),
            asked.digest(),
            "explained" if asked.explain else "plain",
            lambda: self._answer(call, asked),
            wait_s=call.arrived_s + longest_s - self._clock(),
        )
        trace = call.noted.get("traceparent")
        return Reply(body=body, headers=() if trace is None else (("traceparent", trace),))

    def _parse(self, call: Call) -> _Asked:
        body = fields.an_object(
            json_body.parse(call.body, depth=self._limits.json_depth),
            "the body",
            known=_FIELDS,
            required=("transactionContext",),
        )
        transaction = fields.an_object(
            body["transactionContext"],
            "transactionContext",
            known=("transactionId", "attributes"),
            required=("transactionId", "attributes"),
        )
        identity = fields.a_string(transaction["transactionId"], "transactionId")
        if _ID.fullmatch(identity) is None:
            raise RefusedError(
                "bad_request",
                "transactionId must be 1 to 128 visible ASCII characters, found "
                f"{fields.shown(identity)}",
            )
        given = fields.an_object(transaction["attributes"], "attributes")
        asked = body.get("explain")
        return _Asked(
            identity=identity,
            attributes=self._attributes(given),
            explain=_flag(call.query.get("explain"))
            if asked is None
            else fields.a_boolean(asked, "explain"),
            timeout_s=fields.timeout_s(call, body.get("timeout_ms"), limits=self._limits),
            priority=fields.priority(body.get("priority")),
        )

    def _attributes(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Those that are read: the configured ones, or all where none is configured."""
        known = self._rules.attributes
        chosen = {
            name: fields.a_string(value, f"attributes[{fields.shown(name)}]")
            for name, value in given.items()
            if value is not None and (not known or name in known)
        }
        if not chosen:
            raise RefusedError(
                "unprocessable",
                "no attribute to decide on; "
                + (f"known: {', '.join(map(repr, known))}" if known else "all are absent or null"),
            )
        return chosen

    def _reader(self, attribute: str) -> _Reader:
        return self._readers.get(attribute, self._default)

    async def _hosted(self, call: Call, reader: _Reader) -> Hosted:
        return await hosted_by(self._context, call, reader.model, reader.version)

    async def _answer(self, call: Call, asked: _Asked) -> bytes:
        groups: dict[tuple[str | None, str | None, str | None], dict[str, str]] = {}
        for name, text in asked.attributes.items():
            reader = self._reader(name)
            groups.setdefault((reader.model, reader.version, reader.positive), {})[name] = text
        found = await _all_or_none([self._score(call, asked, texts) for texts in groups.values()])
        by_name = {one.name: one for group in found for one in group}
        # max() takes the first of equals: in the order of the request.
        top = max(
            (by_name[name] for name in asked.attributes), key=lambda one: (one.reached, one.score)
        )
        rules = self._rules
        answer: dict[str, Any] = {
            "modelCode": rules.model_code,
            "modelVersion": rules.model_version,
            "refreshVersion": rules.refresh_version,
            "probabilityScore": score_text(top.score),
            "modelSegment": rules.segment,
            "topContributor": top.name,
            "scoreDetails": {
                "label": rules.positive_label if top.reached else rules.negative_label
            },
        }
        if asked.explain:
            answer |= await self._explained(call, asked, top)
        return json_body.dump(answer)

    async def _score(self, call: Call, asked: _Asked, texts: Mapping[str, str]) -> list[_Scored]:
        """All attributes that one model reads for the same label."""
        reader = self._reader(next(iter(texts)))
        positive = _positive(reader, await self._hosted(call, reader))
        answer = await self._ask(call, asked, reader, positive, list(texts.values()))
        scores = _scores(answer, positive)
        per_character = answer.tokens / max(1, sum(map(len, texts.values())))
        return [
            _Scored(
                name=name,
                text=text,
                reader=self._reader(name),
                hosted=answer.hosted,
                score=score,
                threshold=_threshold(self._reader(name), answer.hosted, positive),
                tokens=per_character * len(text),
            )
            for (name, text), score in zip(texts.items(), scores, strict=True)
        ]

    async def _ask(
        self,
        call: Call,
        asked: _Asked,
        reader: _Reader,
        positive: str,
        texts: Sequence[str],
        *,
        priority: int | None = None,
    ) -> Answer:
        request = call.request(
            texts,
            model=reader.model,
            version=reader.version,
            task="text-classification",
            options=_READING | {"window_label": positive},
            timeout_s=asked.timeout_s,
            priority=asked.priority if priority is None else priority,
            use_cache=fields.use_cache(call),
        )
        # Several requests may be on their way at once, each with notes of its own.
        request = replace(request, noted={})
        try:
            return await self._context.service.answer(request)
        finally:
            _note(call, request.noted or {})

    async def _explained(self, call: Call, asked: _Asked, top: _Scored) -> dict[str, Any]:
        limits = self._limits
        most = min(
            _MOST_PARTS,
            limits.rows - 2,
            limits.characters // max(1, len(top.text)) - 1,
            # Room for others in the queue.
            int(self._context.settings.queue.max_tokens / 2 / max(1.0, top.tokens)) - 1,
        )
        spans = explain.parts(top.text, most=max(1, most))
        own = asked.priority
        if own is None:
            own = PRIORITIES[top.hosted.settings.priority]
        lower = min(own + 1, max(PRIORITIES.values()))
        positive = _positive(top.reader, top.hosted)
        # The whole text again: mostly out of the cache, and surely from the model that reads the
        # rest, which can be another by now.
        texts = [top.text, *explain.variants(top.text, spans)]
        answer = await self._ask(call, asked, top.reader, positive, texts, priority=lower)
        whole, *scores = _scores(answer, positive)
        found = explain.explain(top.text, spans, whole, scores)
        return {
            "spans": [
                {
                    "attribute": top.name,
                    "start": span.start,
                    "end": span.end,
                    "scoreDrop": span.drop,
                }
                for span in found.spans
            ],
            "explanation": {"method": explain.METHOD, "approximationError": found.error},
        }


def _trace(call: Call, identity: str) -> None:
    """The transaction's id is the request's, and where the client brings no trace, names it."""
    call.request_id = call.noted["request_id"] = identity
    if tracing.parse(call.headers) is None:
        digest = hashlib.sha256(identity.encode("ascii")).hexdigest()
        call.noted["trace_id"] = digest[:32]
        call.noted["traceparent"] = f"00-{digest[:32]}-{digest[32:48]}-01"


def _flag(value: str | None) -> bool:
    if value not in (None, "true", "false"):
        raise RefusedError(
            "bad_request", f"explain must be true or false, found {fields.shown(value)}"
        )
    return value == "true"


def _positive(reader: _Reader, hosted: Hosted) -> str:
    """The label whose probability is the score.

    Raises:
        RefusedError: unprocessable: a model whose scores are no probabilities of labels, or none
            that is named.
    """
    task = hosted.spec.task
    if task.task != "text-classification" or task.problem == "regression":
        raise RefusedError(
            "unprocessable", f"model {hosted.name!r} gives no probabilities of labels to decide on"
        )
    positive = reader.positive
    if positive is None and task.threshold is not None:
        positive = task.threshold.label
    if positive not in task.labels:
        raise RefusedError(
            "unprocessable",
            f"model {hosted.name!r} has no label {positive!r}; labels: {', '.join(task.labels)}"
            if positive is not None
            else f"model {hosted.name!r} stores no threshold: name its positive label in the "
            f"configuration, [decision.attributes.NAME] positive = one of {', '.join(task.labels)}",
        )
    return positive


def _threshold(reader: _Reader, hosted: Hosted, positive: str) -> float:
    if reader.threshold is not None:
        return reader.threshold
    stored = hosted.spec.task.threshold
    return stored.value if stored is not None and stored.label == positive else _DEFAULT_THRESHOLD


def _scores(answer: Answer, positive: str) -> list[float]:
    """P(positive) of each text."""
    if positive not in answer.hosted.spec.task.labels:  # a fallback that was made otherwise
        raise RefusedError(
            "failed", f"model {answer.hosted.name!r} has no label {positive!r} to decide on"
        )
    return [next(row["score"] for row in rows if row["label"] == positive) for rows in answer.rows]


def _note(call: Call, noted: Mapping[str, Any]) -> None:
    """Add what a request took to what is known of the call."""
    for name in ("rows", "tokens", "cached"):
        if name in noted:
            call.noted[name] = call.noted.get(name, 0) + noted[name]
    for name in ("model", "version"):
        if name in noted:
            call.noted[name] = noted[name]
    timing = noted.get("timing")
    known = call.noted.get("timing")
    # Of requests that are awaited together the slowest is what the client waits for.
    if timing is not None and (known is None or known.total_s <= timing.total_s):
        call.noted["timing"] = timing


async def _all_or_none(coroutines: Sequence[Coroutine[Any, Any, _Value]]) -> list[_Value]:
    """All results; where one fails or the caller leaves, the others are taken back."""
    if len(coroutines) == 1:
        return [await coroutines[0]]
    tasks = [asyncio.ensure_future(one) for one in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
