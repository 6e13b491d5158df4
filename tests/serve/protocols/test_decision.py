"""Decisions: the documented shape, whole texts, one answer for one id, and what made the score."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from exchange import Exchange, Said, exchanging
from fake_model import FakeModel
from gated_model import Gated
from limbeck.pipeline import pipeline
from limbeck.serve.protocols import decision
from limbeck.serve.protocols.decision import score_text
from limbeck.serve.request import Tenant
from limbeck.serve.settings import Settings
from limbeck.spec import Threshold
from served import settings_of
from tokenizer_files import raw
from waiting import comes

BELL = raw("wordpiece").token_to_id("bell")
KEY = raw("wordpiece").token_to_id("key")
LEAK = Threshold(label="leak", value=0.6, false_alarm_rate=0.01)
SEVEN = [
    "modelCode",
    "modelVersion",
    "refreshVersion",
    "probabilityScore",
    "modelSegment",
    "topContributor",
    "scoreDetails",
]
EXAMPLE = {
    "model_code": "DistilBertNLPSupplyListingDescHA",
    "refresh_version": "v20211220",
    "segment": "SUPPLY",
}
# About 2,000 words in sentences, and one more.
LONG = "The quiet flat is near the old harbour. " * 250


def finds(ids: Sequence[int], types: Sequence[int]) -> list[float]:
    """ "leak" where the bell is, less so where the key is, else "clean" by 22.9."""
    if BELL in ids:
        return [0.0, 3.0]
    return [0.0, 0.5] if KEY in ids else [23.0, 0.0]


def detector(**fields: Any) -> FakeModel:
    return FakeModel(labels=("clean", "leak"), logits=finds, **{"threshold": LEAK, **fields})


def run(
    body: Callable[[Exchange], Awaitable[None]],
    made: dict[str, Callable[[], Any]] | None = None,
    **sections: Any,
) -> None:
    made = made or {"m": detector}

    async def whole() -> None:
        names = () if "models" in sections else tuple(made)
        settings = Settings.model_validate(
            {**settings_of(*names).model_dump(), "decision": EXAMPLE, **sections}
        )
        async with exchanging([decision], made, settings=settings) as exchange:
            await body(exchange)

    asyncio.run(whole())


def asked(identity: str = "t-1", /, _more: Any = None, **attributes: Any) -> dict[str, Any]:
    return {
        "transactionContext": {"transactionId": identity, "attributes": attributes},
        **(_more or {}),
    }


def test_the_documented_example() -> None:
    async def body(exchange: Exchange) -> None:
        for path in ("/decision", "/v1/decision"):
            said = await exchange.post(path, asked(listingDescription="a quiet harbour"))
            assert said.status == 200
            assert list(said.value) == SEVEN
            assert said.value == {
                "modelCode": "DistilBertNLPSupplyListingDescHA",
                "modelVersion": "1.0",
                "refreshVersion": "v20211220",
                "probabilityScore": "1.03e-10",
                "modelSegment": "SUPPLY",
                "topContributor": "listingDescription",
                "scoreDetails": {"label": "NonFraud"},
            }
            assert said.call.request_id == "t-1"

    run(body)


def test_a_leak_in_the_last_sentence_of_a_long_text() -> None:
    async def body(exchange: Exchange) -> None:
        said = await exchange.post("/decision", asked(text=LONG + "Ring the bell."))
        assert said.value["scoreDetails"] == {"label": "Fraud"}
        assert float(said.value["probabilityScore"]) == pytest.approx(0.953, abs=1e-3)
        said = await exchange.post("/decision", asked("t-2", text=LONG))
        assert said.value["scoreDetails"] == {"label": "NonFraud"}

    run(body)


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (1.0234e-10, "1.02e-10"),
        (0.0, "0"),
        (1.0, "1"),
        (0.5, "0.5"),
        (0.98345, "0.983"),
        (0.0001234, "0.000123"),
        (0.00001234, "1.23e-05"),
    ],
)
def test_scores_as_text(score: float, text: str) -> None:
    assert score_text(score) == text


def test_attributes_go_in_together_and_the_highest_decides() -> None:
    model = detector()

    async def body(exchange: Exchange) -> None:
        model.batches.clear()
        said = await exchange.post(
            "/decision",
            asked(title="the harbour", rules="ring the bell", notes="the key", other=None),
            headers={"x-request-timeout-ms": "20000"},
        )
        assert said.value["topContributor"] == "rules"
        assert said.value["scoreDetails"] == {"label": "Fraud"}
        first = [len(batch.cu_seqlens) - 1 for batch in model.batches]
        assert first[0] == 3
        assert said.call.noted["rows"] == 3
        assert said.call.noted["model"] == "m"
        assert said.call.noted["timing"].total_s > 0
        # The first of equals.
        said = await exchange.post("/decision", asked("t-2", b="the bell", a="the bell"))
        assert said.value["topContributor"] == "b"

    run(body, {"m": lambda: model})


def test_an_empty_text_is_scored_like_any_other() -> None:
    async def body(exchange: Exchange) -> None:
        said = await exchange.post("/decision", asked(text=""))
        assert list(said.value) == SEVEN
        assert said.value["topContributor"] == "text"

    run(body)


def test_attributes_as_configured() -> None:
    """Models, labels and thresholds by attribute; others are not looked at."""

    def other() -> FakeModel:
        return FakeModel(labels=("no", "perhaps", "yes"), logits=lambda i, t: [1.0, 0.0, 1.5])

    rules = EXAMPLE | {
        "positive_label": "Yes",
        "negative_label": "No",
        "attributes": {
            "description": {},
            "title": {"model": "other", "positive": "yes"},
            "strict": {"model": "m/1", "threshold": 0.99},
            "lax": {"model": "m", "threshold": 0.5},
        },
    }

    async def body(exchange: Exchange) -> None:
        async def decide(identity: str, **attributes: Any) -> tuple[str, str, str]:
            said = await exchange.post("/decision", asked(identity, **attributes))
            assert said.status == 200, said.value
            value = said.value
            return (
                value["topContributor"],
                value["scoreDetails"]["label"],
                value["probabilityScore"],
            )

        # 0.547 of three labels
        assert await decide("1", title="a") == ("title", "Yes", "0.547")
        assert await decide("2", title="a", price=12, extra={"a": 1}) == ("title", "Yes", "0.547")
        # 0.622 reaches the model's own 0.6
        assert await decide("3", description="the key") == ("description", "Yes", "0.622")
        # The bell is surer, but does not reach its threshold; the key does.
        assert await decide("4", strict="the bell", lax="the key") == ("lax", "Yes", "0.622")
        assert await decide("5", strict="the bell", lax="a") == ("strict", "No", "0.953")
        said = await exchange.post("/decision", asked("6", price=12, text="the bell"))
        assert said.status == 422
        assert "'description'" in said.value["error"]["message"]
        said = await exchange.post("/decision", asked("7", title=12))
        assert said.status == 400
        assert "title" in said.value["error"]["message"]

    run(body, {"m": detector, "other": other}, decision=rules)


def test_the_same_id_gets_the_same_answer_once() -> None:
    model = detector()

    async def body(exchange: Exchange) -> None:
        request = asked(a="the bell", b="a quiet harbour")
        model.batches.clear()
        first = await exchange.post("/decision", request, headers={"cache-control": "no-cache"})
        computed = len(model.batches)
        assert computed
        turned = asked(b="a quiet harbour", a="the bell") | {"priority": "low"}
        for again in (request, turned, json.dumps(request, indent=4).encode()):
            said = await exchange.post("/v1/decision", again, headers={"cache-control": "no-cache"})
            assert said.reply.body == first.reply.body
        assert len(model.batches) == computed
        other = await exchange.post("/decision", asked(a="the bell"))
        refused(other, 409, "conflict", "transaction id")
        tenant = Tenant(name="somebody else")
        assert (await exchange.post("/decision", asked(a="the bell"), tenant=tenant)).status == 200

    run(body, {"m": lambda: model})


def test_duplicates_on_their_way_join_the_first() -> None:
    gated = Gated(labels=("clean", "leak"), logits=finds, threshold=LEAK)

    async def body(exchange: Exchange) -> None:
        gated.gate.clear()
        before = gated.begun  # warming up has begun some
        calls = [
            asyncio.ensure_future(exchange.post("/decision", asked(a="a harbour")))
            for _ in range(4)
        ]
        await comes(lambda: gated.begun > before, "the beginning of the first")
        other = await exchange.post("/decision", asked(a="another"))
        refused(other, 409, "conflict")
        late = await exchange.post(
            "/decision", asked(a="a harbour"), headers={"x-request-timeout-ms": "20"}
        )
        refused(late, 504, "deadline")
        gated.gate.set()
        answers = await asyncio.gather(*calls)
        assert {said.reply.body for said in answers} == {answers[0].reply.body}
        assert answers[0].status == 200
        assert gated.begun == before + 1

    run(body, {"m": lambda: gated})


def test_a_refused_transaction_can_be_sent_again() -> None:
    async def body(exchange: Exchange) -> None:
        said = await exchange.post("/decision", asked(_more={"timeout_ms": 1e-6}, a="the bell"))
        refused(said, 504, "deadline")
        assert (await exchange.post("/decision", asked(a="the bell"))).status == 200

    run(body)


def test_explained_by_leaving_sentences_out() -> None:
    text = "A quiet harbour. Ring the bell! The key is under the mat."

    async def body(exchange: Exchange) -> None:
        plain = await exchange.post("/decision", asked(title="a", text=text))
        said = await exchange.post(
            "/decision", asked(_more={"explain": True}, title="a", text=text)
        )
        by_query = await exchange.post(
            "/decision", asked(title="a", text=text), query={"explain": "true"}
        )
        assert by_query.value == said.value
        assert list(said.value) == [*SEVEN, "spans", "explanation"]
        assert {name: said.value[name] for name in SEVEN} == plain.value

        pipe = pipeline("text-classification", detector())

        def leak(one: str) -> float:
            rows = pipe([one], window=True, top_k=None)[0]
            return float(next(row["score"] for row in rows if row["label"] == "leak"))

        sentences = ["A quiet harbour.", "Ring the bell!", "The key is under the mat."]
        drops = []
        for sentence in sentences:
            start = text.index(sentence)
            end = start + len(sentence)
            drop = leak(text) - leak(text[:start] + text[end:].lstrip())
            drops.append((start, end, drop))
        found = said.value["spans"]
        assert {one["attribute"] for one in found} == {"text"}
        assert found[0]["start"] == text.index("Ring")
        assert sorted((one["start"], one["end"], one["scoreDrop"]) for one in found) == [
            (start, end, pytest.approx(drop, abs=1e-6)) for start, end, drop in drops
        ]
        explanation = said.value["explanation"]
        assert explanation["method"] == "leave-one-out over sentences"
        total = sum(drop for _, _, drop in drops)
        assert explanation["approximationError"] == pytest.approx(
            abs(total - (leak(text) - leak(""))), abs=1e-6
        )
        assert explanation["approximationError"] > 0.01

    run(body)


def test_a_long_text_is_explained_in_parts_within_the_limits() -> None:
    async def body(exchange: Exchange) -> None:
        text = LONG + "Ring the bell."
        said = await exchange.post("/decision", asked(_more={"explain": True}, text=text))
        assert said.status == 200, said.value
        spans = said.value["spans"]
        assert len(spans) == 6  # and once empty, once whole: 80,000 characters for 10,014
        assert spans[0]["end"] == len(text)
        assert spans[0]["scoreDrop"] == pytest.approx(0.953, abs=1e-3)
        assert said.value["explanation"]["approximationError"] == pytest.approx(0, abs=1e-6)

    run(body, limits={"characters": 80_000}, queue={"max_tokens": 500_000})


def test_an_explanation_leaves_room_in_the_queue() -> None:
    async def body(exchange: Exchange) -> None:
        said = await exchange.post("/decision", asked(_more={"explain": True}, text=LONG))
        assert said.status == 200, said.value
        # Half of the queue, and some 5,000 tokens in overlapping windows for each reading.
        assert 2 <= len(said.value["spans"]) <= 5
        assert said.call.noted["tokens"] < 40_000

    run(body, queue={"max_tokens": 50_000})


@pytest.mark.parametrize(
    ("given", "own", "expected"), [(None, "normal", 2), (0, "low", 1), (3, "normal", 3)]
)
def test_explanations_come_after_decisions(given: int | None, own: str, expected: int) -> None:
    async def body(exchange: Exchange) -> None:
        service = exchange.context.service
        seen: list[Any] = []
        answer = service.answer

        async def spied(request: Any) -> Any:
            seen.append((request.priority, len(request.inputs)))
            return await answer(request)

        service.answer = spied  # type: ignore[method-assign]
        more = {"explain": True} | ({} if given is None else {"priority": given})
        said = await exchange.post("/decision", asked(_more=more, a="One. Two. Three."))
        assert said.status == 200
        # The decision; the whole, the empty and three that lack a sentence, all in one.
        assert seen == [(given, 1), (expected, 5)]
        assert said.call.noted["rows"] == 6

    models = [{"name": "m", "path": "m", "priority": own, "deadline_ms": 20_000}]
    run(body, models=models)


def test_options_of_a_model_do_not_bend_its_probabilities() -> None:
    options = {"function_to_apply": "none", "decide": True, "top_k": 1, "max_length": 20}

    async def body(exchange: Exchange) -> None:
        said = await exchange.post("/decision", asked(a="the bell"))
        assert said.value["probabilityScore"] == "0.953"

    run(body, models=[{"name": "m", "path": "m", "options": options, "deadline_ms": 20_000}])


def test_the_fallback_decides_by_its_own_threshold() -> None:
    """It may also lack the label, and says so."""

    def sure() -> FakeModel:
        return detector(threshold=Threshold(label="leak", value=0.96, false_alarm_rate=0.01))

    def other() -> FakeModel:
        return FakeModel(labels=("x", "y"))

    class Late(FakeModel):
        """Sound while it is warmed, and not from then on."""

        def forward(self, *args: Any, **named: Any) -> Any:
            self.calls = getattr(self, "calls", 0) + 1
            found = super().forward(*args, **named)
            return found if self.calls <= 10 else found * float("nan")

    def late() -> FakeModel:
        return Late(labels=("clean", "leak"), logits=finds, threshold=LEAK)

    async def body(exchange: Exchange) -> None:
        failed = await exchange.post("/decision", asked("1", a="the bell"))
        refused(failed, 500, "failed")
        said = await exchange.post("/decision", asked("2", a="the bell"))
        assert said.value["scoreDetails"] == {"label": "NonFraud"}
        assert said.value["probabilityScore"] == "0.953"

    def settings(fallback: str) -> dict[str, Any]:
        rows = [
            {"name": "late", "path": "late", "fallback": fallback, "deadline_ms": 20_000},
            {"name": "sure", "path": "sure", "deadline_ms": 20_000},
            {"name": "other", "path": "other", "deadline_ms": 20_000},
        ]
        return {"models": rows, "breaker": {"min_requests": 1, "open_s": 600}}

    made = {"late": late, "sure": sure, "other": other}
    run(body, made, **settings("sure"))

    async def lacking(exchange: Exchange) -> None:
        refused(await exchange.post("/decision", asked("1", a="the bell")), 500, "failed")
        said = await exchange.post("/decision", asked("2", a="the bell"))
        assert said.status in (422, 500)
        assert "leak" in said.value["error"]["message"]

    run(lacking, made, **settings("other"))


def test_a_key_that_may_not_use_the_model() -> None:
    async def body(exchange: Exchange) -> None:
        tenant = Tenant(name="t", models=frozenset({"other"}))
        said = await exchange.post("/decision", asked(a="the bell"), tenant=tenant)
        refused(said, 403, "forbidden")
        # What another key has asked is not given away either.
        assert (await exchange.post("/decision", asked(a="the bell"))).status == 200
        said = await exchange.post("/decision", asked(a="the bell"), tenant=tenant)
        refused(said, 403, "forbidden")

    run(body)


def refused(said: Said, status: int, *words: str) -> None:
    assert said.status == status, said.value
    assert said.value["error"]["code"] == said.reason
    for word in words:
        assert word in (said.value["error"]["message"] + said.value["error"]["code"])


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, ["empty"]),
        ([], 400, ["the body must be an object"]),
        ({}, 400, ["'transactionContext'"]),
        ({"transactioncontext": {}}, 400, ["did you mean 'transactionContext'?"]),
        ({"transactionContext": []}, 400, ["an array"]),
        ({"transactionContext": {"transactionId": "a"}}, 400, ["'attributes'"]),
        ({"transactionContext": {"attributes": {}}}, 400, ["'transactionId'"]),
        (asked("", a="b"), 400, ["transactionId", "visible"]),
        (asked("a b", a="b"), 400, ["transactionId"]),
        (asked("a\r\nx: y", a="b"), 400, ["transactionId"]),
        (asked("a" * 129, a="b"), 400, ["128"]),
        (asked("é", a="b"), 400, ["visible"]),
        (asked(5, a="b"), 400, ["transactionId", "a number"]),  # type: ignore[arg-type]
        ({"transactionContext": {"transactionId": "a", "attributes": "b"}}, 400, ["attributes"]),
        (
            {
                "transactionContext": {
                    "transactionId": "a",
                    "attributes": {"b": "c"},
                    "attribute": 1,
                }
            },
            400,
            ["did you mean 'attributes'?"],
        ),
        (asked(a=5), 400, ["attributes['a']", "a number"]),
        (asked(a=["b"]), 400, ["an array"]),
        (asked(a=True), 400, ["a boolean"]),
        (asked(), 422, ["no attribute"]),
        (asked(a=None), 422, ["no attribute"]),
        (asked(_more={"explain": "true"}, a="b"), 400, ["explain"]),
        (asked(_more={"timeout_ms": 0}, a="b"), 504, ["timeout_ms"]),
        (asked(_more={"priority": "now"}, a="b"), 400, ["priority"]),
        (asked(a="b" * 1_000_001), 413, ["1000001"]),
        (asked(**{f"a{i}": "b" for i in range(1025)}), 413, ["1024"]),
    ],
    ids=lambda value: str(value)[:60],
)
def test_bad_requests(body: Any, status: int, words: list[str]) -> None:
    async def check(exchange: Exchange) -> None:
        refused(await exchange.post("/decision", body), status, *words)

    run(check)


def test_a_flag_in_the_query_that_is_none() -> None:
    async def check(exchange: Exchange) -> None:
        said = await exchange.post("/decision", asked(a="b"), query={"explain": "yes"})
        refused(said, 400, "explain")

    run(check)


@pytest.mark.parametrize(
    ("model", "rules", "words"),
    [
        (lambda: FakeModel(labels=("a", "b")), {}, ["stores no threshold", "positive"]),
        (lambda: FakeModel("feature-extraction"), {}, ["no probabilities"]),
        (lambda: FakeModel(labels=("a",), problem="regression"), {}, ["no probabilities"]),
        (detector, {"attributes": {"a": {"positive": "bad"}}}, ["no label 'bad'", "clean"]),
    ],
)
def test_models_that_cannot_decide(model: Any, rules: Any, words: list[str]) -> None:
    async def check(exchange: Exchange) -> None:
        refused(await exchange.post("/decision", asked(a="b")), 422, *words)

    run(check, {"m": model}, decision=EXAMPLE | rules)


def test_an_unknown_model_is_not_found_and_takes_nobody_along() -> None:
    rules = EXAMPLE | {"attributes": {"a": {}, "b": {"model": "nobody"}}}

    async def check(exchange: Exchange) -> None:
        refused(await exchange.post("/decision", asked("1", a="x", b="y")), 404, "nobody")
        assert (await exchange.post("/decision", asked("2", a="x"))).status == 200

    run(check, decision=rules)


def test_the_trace_is_the_transactions() -> None:
    async def check(exchange: Exchange) -> None:
        first, again, other = [
            (await exchange.post("/decision", asked(identity, a="b"))).call.noted
            for identity in ("t-1", "t-1", "t-2")
        ]
        assert first["traceparent"] == again["traceparent"] != other["traceparent"]
        assert first["request_id"] == "t-1"
        assert first["trace_id"] == first["traceparent"].split("-")[1]
        brought = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
        given = await exchange.post("/decision", asked("3", a="b"), headers=brought)
        assert "traceparent" not in given.call.noted
        odd = await exchange.post("/decision", asked("4", a="b"), headers={"traceparent": "x"})
        assert odd.call.noted["traceparent"].startswith("00-")

    run(check)


def test_a_real_model_decides_as_the_pipeline_does(zoo: Callable[..., Path]) -> None:
    """The same artifact-like directory through the route and through limbeck.pipeline."""
    from limbeck import load

    directory = zoo("distilbert", "text-classification", labels=("clean", "leak"))
    text = "The house stands near the river. Call me when the train is late! " * 40
    alone = pipeline("text-classification", load(directory, threads=1))
    rows = alone([text], window=True, window_label="leak", top_k=None)[0]
    score = next(row["score"] for row in rows if row["label"] == "leak")

    async def check(exchange: Exchange) -> None:
        said = await exchange.post("/decision", asked(listingDescription=text))
        assert said.value["probabilityScore"] == format(score, ".3g")
        expected = "Fraud" if score >= 0.5 else "NonFraud"
        assert said.value["scoreDetails"]["label"] == expected

    rules = EXAMPLE | {"attributes": {"listingDescription": {"positive": "leak"}}}
    run(check, {"m": lambda: load(directory, threads=1)}, decision=rules)
