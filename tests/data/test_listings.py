"""The listing generator: what it promises about splits, labels, places and fiction."""

from __future__ import annotations

import random
import re
import unicodedata
from collections import Counter
from itertools import pairwise

import pytest

from limbeck.data.listings import (
    SPLITS,
    compose_long,
    fictionalise,
    generate,
    real_contacts,
    screen,
    scrub,
    split_carriers,
)
from limbeck.data.listings.carriers import cut
from limbeck.data.listings.catalogue import BANKS, by_kind, families, words
from limbeck.data.listings.compose import _HARMLESS_KINDS, _LEAK_KINDS, _insert
from limbeck.data.listings.grammar import Segment, expand, literals, parse, slots
from limbeck.data.listings.phones import MISSPELT, PLAIN, TRAINED, UNSEEN, Number, draw_number
from limbeck.data.listings.slots import filler, known
from limbeck.errors import InputError

WHATS = ("leak", "harmless", "carrier")


def _given(count: int) -> list[str]:
    """Carriers as a user might give them: every one different."""
    rng = random.Random(3)
    nouns = words()["kind"]
    return [
        f"House number {index} in row {rng.randrange(99)}: a {rng.choice(nouns)} by the water. "
        f"It has {rng.choice(nouns)} neighbours whose name is family{index}. We like it."
        for index in range(count)
    ]


@pytest.mark.parametrize("split", SPLITS)
def test_same_seed_same_examples(split):
    first = list(generate(split, 40, 11))
    assert first == list(generate(split, 40, 11))
    assert first[:15] == list(generate(split, 15, 11))
    other = list(generate(split, 40, 12))
    assert [it.text for it in first] != [it.text for it in other]
    assert [it.label for it in first] != [it.label for it in other]


def test_splits_share_no_family_and_no_carrier():
    given = _given(400)
    for carriers in (None, given):
        drawn = {bank: list(generate(bank, 200, 5, carriers)) for bank in BANKS}
        for what in ("family", "carrier"):
            seen = [{getattr(it, what) for it in drawn[bank]} - {""} for bank in BANKS]
            assert all(len(some) > 25 for some in seen)
            assert not seen[0] & seen[1]
            assert not seen[0] & seen[2]
            assert not seen[1] & seen[2]


def test_unseen_notation_uses_test_families_and_test_carriers():
    given = _given(400)
    train = list(generate("train", 300, 5, given))
    unseen = list(generate("unseen_notation", 300, 5, given))
    assert {it.family for it in unseen} <= {it.name for what in WHATS for it in families(what)} | {
        ""
    }
    assert all("/test/" in it.family for it in unseen if it.family)
    assert not {it.carrier for it in train} & {it.carrier for it in unseen}


def test_unseen_notations_are_unseen():
    seen = {
        it.notation
        for it in generate("train", 4000, 1, max_words=5)
        if it.label and it.kind == "phone"
    }
    unseen = [it for it in generate("unseen_notation", 400, 1) if it.label]
    phones = {it.notation for it in unseen if it.kind == "phone"}
    assert seen <= set(TRAINED)
    assert len(seen) > 15
    assert phones == set(UNSEEN)
    assert not set(TRAINED) & set(UNSEEN)
    assert "search" not in {it.kind for it in unseen}


def _wording(template: str) -> set[str]:
    """Runs of five words of fixed wording, with the choices drawn many times."""
    rng = random.Random(0)
    runs: set[str] = set()
    blank = lambda slot, rng: filler("trained")("7-8", rng)._replace(text="#", twin="#")  # noqa: E731
    for _ in range(200):
        text = "".join(it.text for it in expand(parse(template), rng, blank)).lower()
        for part in text.split("#"):
            found = re.findall(r"\w+", part)
            runs |= {" ".join(found[at : at + 5]) for at in range(len(found) - 4)}
    return runs


@pytest.mark.parametrize("what", WHATS)
def test_no_wording_is_shared_by_two_splits(what):
    found = {
        bank: {run for it in families(what) if it.bank == bank for run in _wording(it.template)}
        for bank in BANKS
    }
    assert all(len(runs) > 20 for runs in found.values())
    for one, other in pairwise((*BANKS, BANKS[0])):
        assert not found[one] & found[other]


def test_families_are_many_and_differ():
    for what, kinds, least in (("leak", _LEAK_KINDS, 36), ("harmless", _HARMLESS_KINDS, 10)):
        assert set(by_kind(what, "train")) == set(kinds)
        for bank in BANKS:
            assert set(by_kind(what, bank)) == set(kinds)
        assert all(len(some) >= least for some in by_kind(what, "train").values())
    assert all(len(some) >= 10 for some in by_kind("leak", "test").values())
    assert all(len(some) >= 8 for some in by_kind("leak", "validation").values())
    for what in WHATS:
        templates = [it.template for it in families(what)]
        assert len(set(templates)) == len(templates)


def test_templates_use_known_slots():
    for what in WHATS:
        for family in families(what):
            unknown = [name for name in slots(family.parsed) if not known(name)]
            assert not unknown, (family.name, unknown)
            if what == "leak":
                leaks = {"phone", "email", "site", "handle", "id", "person", "property"}
                assert leaks & set(slots(family.parsed)), family.name
            assert all("http" not in text and "@" not in text for text in literals(family.parsed))


def test_a_choice_never_hides_the_contact():
    rng = random.Random(1)
    for family in families("leak"):
        for _ in range(25):
            roles = [it.role for it in expand(family.parsed, rng, filler("trained"))]
            assert "leak" in roles, family.name


@pytest.mark.parametrize("split", SPLITS)
def test_spans_hold_the_contact(split):
    for example in generate(split, 300, 2):
        if not example.label:
            assert example.span is None
            continue
        start, end = example.span
        inside = example.text[start:end]
        parts = [it.text for it in example.segments if it.role == "leak"]
        assert inside.startswith(parts[0])
        assert inside.endswith(parts[-1])
        assert len(inside) < 260, "a span holds contacts, not the sentence around them"
        if example.kind == "phone" and example.notation in PLAIN:
            assert sum(map(str.isdigit, inside)) >= 7


def test_labels_are_balanced_as_asked():
    for share in (0.0, 0.3, 1.0):
        labels = [it.label for it in generate("train", 300, 4, leak_share=share)]
        assert abs(sum(labels) / 300 - share) < 0.08
    kinds = Counter(it.kind for it in generate("train", 700, 4, leak_share=1.0))
    total = sum(_LEAK_KINDS.values())
    for kind, weight in _LEAK_KINDS.items():
        assert abs(kinds[kind] / 700 - weight / total) < 0.05


def test_harmless_sentences_stand_in_both_labels():
    drawn = list(generate("train", 500, 6))
    clean = [it for it in drawn if not it.label]
    leaky = [it for it in drawn if it.label]
    assert sum(bool(it.harmless) for it in clean) / len(clean) > 0.8
    assert sum(len(it.harmless) > 1 for it in clean) / len(clean) > 0.5
    assert sum(bool(it.harmless) for it in leaky) / len(leaky) > 0.6
    # Neither figures nor contact details as such tell the labels apart.
    for mark in (r"\d", r"\d{3}.?\d{4}", r"\.(com|org|net)\b"):
        share = [
            sum(bool(re.search(mark, it.text)) for it in some) / len(some)
            for some in (clean, leaky)
        ]
        assert share[0] > 0.05, mark


def test_leaks_stand_everywhere():
    places = [it.span[0] / len(it.text) for it in generate("train", 400, 8) if it.label]
    assert sum(place < 0.2 for place in places) > 20
    assert sum(0.2 <= place < 0.8 for place in places) > 40
    assert sum(place >= 0.8 for place in places) > 20


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_fictional_text_holds_only_fiction(split):
    for example in generate(split, 300, 9, fictional=True):
        assert not _not_fiction(example.text), example.text


def _not_fiction(text: str) -> list[str]:
    """A judge that knows nothing of how the generator writes: plain figures, addresses, domains."""
    text = unicodedata.normalize("NFKC", text)
    found = [
        run
        for run in re.findall(r"\+?\(?\d[\d ().-]{7,}\d", text)
        if sum(map(str.isdigit, run)) >= 9
        and "55501" not in re.sub(r"\D", "", run)
        and not re.search(r"\b(19|20)\d\d\b|[.,-] |, |\d[ -]{2,}\d", run)
        and re.sub(r"\D", "", run).strip("0") not in map(str, range(100))
    ]
    found += [
        it
        for it in re.findall(r"[\w.]+@[\w-]+\.\w+", text)
        if not re.search(r"@(example\.(com|org|net)|\w+\.example)$", it, re.IGNORECASE)
    ]
    found += [
        it
        for it in re.findall(
            r"\b[\w-]+\.(?:com|net|org|co\.uk|info|ie|de|fr)\b", text, re.IGNORECASE
        )
        if not it.lower().startswith(("example", "e.", "mple."))  # "e x a m p l e.com"
    ]
    return found


def test_the_judge_of_fiction_is_awake():
    caught = [bool(_not_fiction(it.text)) for it in generate("train", 300, 9) if it.label]
    assert sum(caught) > 30
    real = list(generate("train", 400, 9, leak_share=1.0))
    assert sum(bool(real_contacts(it.text)) for it in real) / len(real) > 0.5


def test_fictional_contacts_by_their_own_account():
    for split in SPLITS:
        drawn = list(generate(split, 250, 10, fictional=True))
        odd = [it for it in drawn if real_contacts(it.text)]
        # What is left are harmless figures that happen to stand side by side.
        assert len(odd) / len(drawn) < 0.02, [real_contacts(it.text) for it in odd]


def test_every_number_has_a_fictional_twin_in_the_same_notation():
    rng = random.Random(2)
    words_for = {word: str(digit) for digit, some in enumerate(MISSPELT) for word in some}
    for _ in range(300):
        real, twin = draw_number(rng)
        assert re.search(r"55501\d\d$", "".join(twin.groups))
        assert real.country == twin.country
        for notation, _ in (*TRAINED.values(), *UNSEEN.values()):
            seed = rng.random()
            assert notation(random.Random(seed), twin) == notation(random.Random(seed), twin)
    assert words_for["sevn"] == "7"


def test_notations_keep_the_digits():
    number = Number("1", "", ("617", "555", "0123"))
    for name in (*PLAIN, "odd separators", "spaced digits", "pairs", "noise between"):
        for seed in range(30):
            text = TRAINED[name][0](random.Random(seed), number)
            assert "6175550123" in re.sub(r"\D", "", text), (name, text)
    spelled = TRAINED["spelled out"][0](random.Random(1), number).lower()
    assert re.findall(r"[a-z]+", spelled)[0] in ("six", "one")


def test_fictionalise_later_is_fictional_from_the_start():
    given = _given(300)
    for carriers in (None, given):
        real = list(generate("test", 60, 13, carriers))
        fiction = list(generate("test", 60, 13, carriers, fictional=True))
        assert [fictionalise(it) for it in real] == fiction
        assert [it.label for it in real] == [it.label for it in fiction]
        for one in fiction:
            assert one.text == "".join(it.text for it in one.segments)


def test_scrub_hides_what_carriers_bring():
    text = (
        "Call 617-555-7812 or +33 6 12 34 56 78, mail jo.b@somewhere.com, see www.place.ie/x, "
        "follow @jo_b. Built in 1987, 65 m2, check in 15:00."
    )
    clean = scrub(text)
    assert not real_contacts(clean)
    assert "Built in 1987, 65 m2, check in 15:00." in clean
    assert scrub("call (617) 555-0123, a@example.org") == "call (617) 555-0123, a@example.org"


def test_carriers_that_resemble_each_other_stay_together():
    shared = "The sunny terrace looks over the old harbour and its many fishing boats."
    texts = [f"Unit {index} of ours, number {index * 7}. {shared}" for index in range(60)]
    parts = split_carriers([*texts, *_given(300)])
    homes = [bank for bank in BANKS if any(shared in it for it in parts[bank])]
    assert len(homes) == 1
    assert sum(len(some) for some in parts.values()) == 360
    share = {bank: len([it for it in parts[bank] if shared not in it]) / 300 for bank in BANKS}
    assert share["train"] > 0.5
    assert min(share.values()) > 0.08


def test_resemblance_is_handed_on():
    """Each text shares a sentence with the next one alone, and still all stay together."""
    said = [
        f"{word} chairs stand around the long table in the dining room" for word in words()["first"]
    ]
    chain = [f"{one}. {two}." for one, two in pairwise(said)]
    parts = split_carriers([*chain, *_given(100)])
    assert sum(any(text in parts[bank] for text in chain) for bank in BANKS) == 1


def test_sentences_are_not_put_into_one_another():
    piece = [Segment("call the owner of this nice and quiet flat on ", ""), Segment("555-0100", "")]
    whole_piece = "".join(it.text for it in piece)
    carrier = "The house stands by the river and has a garden with old trees. It is quiet here."
    for seed in range(200):
        rng = random.Random(seed)
        body = cut(carrier, rng)
        for place in ("inline", "middle", "end", "start", "inline", "middle"):
            _insert(body, list(piece), place, rng)
        text = "".join(it.text for it in body).lower()
        assert text.count(whole_piece) == 6


def test_split_of_a_text_does_not_hang_on_the_order():
    texts = _given(200)
    parts = split_carriers(texts)
    turned = split_carriers(texts[::-1])
    assert {bank: set(some) for bank, some in parts.items()} == {
        bank: set(some) for bank, some in turned.items()
    }


def test_screen_leaves_out_carriers_that_leak():
    fine = ["Close to the park, 5 min to bus 39.", "License number STR-383333", "call me any time"]
    fine += ["your home away from home", "the code comes by email", "Meow Wolf. Highlands"]
    leaky = ["write to jo at somewhere dot com", "ring +353 87 123 4567", "book direct and save"]
    leaky += ["see goodwill homes dot uk", "a stay[dot]com page", "visit LakeHillHomes com!"]
    leaky += ["we are Weathervane on socials", "Youtube video available, titled 'Elm 23'"]
    leaky += [
        "managed by | Elm Lane | since 2009",
        "Jo Doe, owner, Elm Realty",
        "Text us on arrival",
    ]
    assert screen([*fine, *leaky]) == fine


def test_max_words_cuts_carriers():
    lengths = [len(it.text.split()) for it in generate("train", 200, 3, max_words=20)]
    longer = [len(it.text.split()) for it in generate("train", 200, 3)]
    assert sum(lengths) < 0.7 * sum(longer)
    assert max(lengths) < 160


@pytest.mark.parametrize("leak_at", ["first", "middle", "last", None])
def test_long_texts(leak_at):
    example = compose_long(21, words=2000, leak_at=leak_at)
    count = len(example.text.split())
    assert 2000 <= count < 2400
    assert example.label == (leak_at is not None)
    if leak_at is None:
        assert example.span is None
        return
    start, end = example.span
    if leak_at == "last":
        tail = example.text[start:]
        assert len(tail.split()) < 60
        assert "\n" not in example.text[end:]
    elif leak_at == "first":
        assert len(example.text[:end].split()) < 60
    else:
        assert 0.2 < start / len(example.text) < 0.8


def test_bad_arguments_are_told():
    with pytest.raises(InputError, match="unseen_notation"):
        generate("tset", 1, 1)
    with pytest.raises(InputError, match="negative"):
        generate("test", -1, 1)
    with pytest.raises(InputError, match="leak_share"):
        generate("test", 1, 1, leak_share=1.5)
    with pytest.raises(InputError, match="max_words"):
        generate("test", 1, 1, max_words=0)
    home = next(bank for bank, some in split_carriers(["one single text"]).items() if some)
    other = next(bank for bank in BANKS if bank != home)
    with pytest.raises(InputError, match=f"falls into the {other} split"):
        generate(other, 1, 1, ["one single text"] * 3)
    with pytest.raises(InputError, match="positive"):
        compose_long(1, words=0)
    with pytest.raises(InputError, match="closed"):
        parse("a [b|c")
