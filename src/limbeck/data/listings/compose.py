"""Carrier + leak + harmless sentences -> examples.

In: a split, a count, a seed, texts to carry (or none). Out: `Example` values, the same for the
same arguments, whatever the count. `fictional=True`, or `fictionalise` afterwards, gives the same
examples with fictional numbers, names and domains: only those may be printed, saved or committed.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from limbeck.data.listings.carriers import (
    CARRIED,
    cut,
    screen,
    split_carriers,
    whole,
    write_carrier,
)
from limbeck.data.listings.catalogue import Bank, Family, by_kind
from limbeck.data.listings.fictional import scrub
from limbeck.data.listings.grammar import Segment, expand
from limbeck.data.listings.slots import Notations, filler
from limbeck.errors import InputError

Split = Literal["train", "validation", "test", "unseen_notation"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test", "unseen_notation")
LABELS: tuple[str, ...] = ("clean", "leak")

_LEAK_KINDS: dict[str, float] = {
    "phone": 30,
    "email": 16,
    "website": 16,
    "handle": 12,
    "messenger": 14,
    "search": 12,
}
# Weight in training, weight in measuring. Contacts of others are what is hardest to tell from a
# leak: training shows them more often than descriptions have them, measuring does not.
_HARMLESS_KINDS: dict[str, tuple[float, float]] = {
    "third_phone": (14, 4),
    "third_site": (9, 4),
    "third_email": (4, 1),
    "third_handle": (4, 1),
    "third_search": (7, 2),
    "offer": (15, 11),
    "policy": (6, 4),
    "facts_numbers": (5, 6),
    "price": (5, 6),
    "time": (5, 6),
    "licence": (7, 7),
    "code": (6, 6),
    "transit": (6, 7),
    "place": (4, 4),
    "safety": (3, 3),
    "media": (6, 5),
}
_BUILT_IN_CARRIERS = 40_000
# Carriers cut so short make snippets: one sentence that matters, rarely more, so that a budget of
# tokens holds as many wordings as it can.
_SNIPPET_WORDS = 12
# A carrier with nothing put in keeps more of its words: some false alarms come from what
# hosts write themselves (names of their business, other languages), which snippets show little of.
_BARE_TIMES = 5


@dataclass(frozen=True)
class Example:
    """One description.

    label: 1 where the host's contact is leaked, else 0. kind: of the leak, or of the first
    harmless sentence ("plain" where there is none); family: the template behind it. span: the
    characters of the contact itself, None for label 0. carrier: a hash that names the carrier.
    """

    text: str
    label: int
    kind: str
    family: str
    span: tuple[int, int] | None
    carrier: str
    notation: str = ""
    harmless: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = field(default=(), repr=False)


def fictionalise(example: Example) -> Example:
    """The same example, fit to be printed: fictional numbers, names and domains throughout."""
    return _example(
        [
            Segment(*((scrub(it.text),) * 2), it.role, it.notation)
            if it.notation == CARRIED
            else Segment(it.twin, it.twin, it.role, it.notation)
            for it in example.segments
        ],
        example,
    )


def _example(segments: Sequence[Segment], like: Example) -> Example:
    start = end = None
    at = 0
    for segment in segments:
        if segment.role == "leak":
            start = at if start is None else start
            end = at + len(segment.text)
        at += len(segment.text)
    return Example(
        text="".join(segment.text for segment in segments),
        label=like.label,
        kind=like.kind,
        family=like.family,
        span=None if start is None or end is None else (start, end),
        carrier=like.carrier,
        notation=like.notation,
        harmless=like.harmless,
        segments=tuple(segments),
    )


def _typo(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word) - 1)
    roll = rng.randrange(4)
    if roll == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if roll == 1:
        return word[:at] + word[at + 1 :]
    if roll == 2:
        return word[:at] + word[at] + word[at:]
    return word[:at] + rng.choice("aeiourstln") + word[at + 1 :]


def _mistype(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    long = [index for index, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    if long:
        index = rng.choice(long)
        words[index] = _typo(words[index], rng)
    return " ".join(words)


def _cased(segments: list[Segment], change: str) -> list[Segment]:
    def case(text: str) -> str:
        return text.lower() if change == "lower" else text.upper()

    return [Segment(case(it.text), case(it.twin), it.role, it.notation) for it in segments]


def _rough(segments: list[Segment], rng: random.Random) -> list[Segment]:
    """A drawn sentence as a host in a hurry types it."""
    first = segments[0]
    if first.role == "text" and first.text and rng.random() < 0.85:
        text = first.text[0].upper() + first.text[1:]
        segments = [Segment(text, text), *segments[1:]]
    if rng.random() < 0.12:
        at = rng.randrange(len(segments))
        if segments[at].role == "text":
            text = _mistype(segments[at].text, rng)
            segments = [*segments[:at], Segment(text, text), *segments[at + 1 :]]
    roll = rng.random()
    if roll < 0.08:
        segments = _cased(segments, "lower")
    elif roll < 0.11:
        segments = _cased(segments, "upper")
    if rng.random() < 0.04:
        mark = rng.choice(("* ", "- ", "** ", "• ", "★ ", "!! ", "PS: ", "NB ", "Note: "))
        segments = [Segment(mark, mark), *segments]
    return segments


def _ended(segments: list[Segment], rng: random.Random) -> list[Segment]:
    last = segments[-1].text
    if last and last[-1] in ".!?":
        return segments
    end = rng.choices((".", "", "!", "!!", "...", " :)", " 😊", ";"), (66, 14, 8, 3, 3, 2, 2, 2))[0]
    return [*segments, Segment(end, end)] if end else segments


def _draw(family: Family, notations: Notations, rng: random.Random) -> list[Segment]:
    return [it for it in expand(family.parsed, rng, filler(notations)) if it.text or it.twin]


def _bank(split: Split) -> Bank:
    return "test" if split == "unseen_notation" else split


def _leak_family(bank: Bank, split: Split, rng: random.Random) -> Family:
    kinds = by_kind("leak", bank)
    # A name to search for has no notation, so that kind cannot show an unseen one.
    weights = {
        kind: weight
        for kind, weight in _LEAK_KINDS.items()
        if split != "unseen_notation" or kind != "search"
    }
    kind = rng.choices(list(weights), list(weights.values()))[0]
    return rng.choice(kinds[kind])


def _harmless_family(bank: Bank, rng: random.Random) -> Family:
    weights = [pair[0 if bank == "train" else 1] for pair in _HARMLESS_KINDS.values()]
    kind = rng.choices(list(_HARMLESS_KINDS), weights)[0]
    return rng.choice(by_kind("harmless", bank)[kind])


def _insert_inline(body: list[Segment], piece: list[Segment], rng: random.Random) -> bool:
    """Put a piece inside a sentence of the carrier; False where no sentence is long enough."""
    fit = [
        index for index, it in enumerate(body) if it.notation == CARRIED and it.text.count(" ") >= 7
    ]
    if not fit:
        return False
    index = rng.choice(fit)
    words = body[index].text.split(" ")
    at = rng.randint(3, len(words) - 2)
    before, after = " ".join(words[:at]), " ".join(words[at:])
    left, right = rng.choice(
        ((" (", ") "), (" - ", " - "), (", ", ", "), (" ... ", " "), (" ", " "))
    )
    if piece[0].role == "text" and rng.random() < 0.6:
        text = piece[0].text[:1].lower() + piece[0].text[1:]
        piece = [Segment(text, text), *piece[1:]]
    body[index : index + 1] = [
        Segment(before, before, notation=CARRIED),
        Segment(left, left),
        *piece,
        Segment(right, right),
        Segment(after, after, notation=CARRIED),
    ]
    return True


def _insert(body: list[Segment], piece: list[Segment], where: str, rng: random.Random) -> None:
    """Put a piece at the start, at the end, between two sentences, or inside one."""
    if where == "inline" and _insert_inline(body, piece, rng):
        return
    piece = _ended(piece, rng)
    space = rng.choices((" ", "\n", "  ", "\n\n", ""), (70, 14, 6, 8, 2))[0]
    joint = Segment(space, space, notation=CARRIED)
    if not body:
        body.extend(piece)
        return
    if where == "start":
        body[:0] = [*piece, joint]
        return
    gaps = [
        index
        for index, it in enumerate(body)
        if index and it.notation == CARRIED and it.text and not it.text.strip()
    ]
    if where == "end" or not gaps:
        body.extend([joint, *piece])
        return
    index = rng.choice(gaps)
    body[index:index] = [joint, *piece]


_PLACES = ("start", "middle", "end", "inline")
_PLACE_WEIGHTS = (15, 45, 25, 15)


def _place(rng: random.Random) -> str:
    return rng.choices(_PLACES, _PLACE_WEIGHTS)[0]


def _carrier_id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=2)  # a demo draws several splits from the same thousands of texts
def _shared_out(given: tuple[str, ...]) -> dict[Bank, list[str]]:
    return split_carriers(screen(given))


class _Carriers:
    """The carriers of one split, each named by its place."""

    def __init__(self, bank: Bank, seed: int, given: Sequence[str] | None) -> None:
        self.bank, self.seed = bank, seed
        self.given: list[str] | None = None
        if given is not None:
            self.given = list(_shared_out(tuple(given))[bank])
            if not self.given:
                raise InputError(
                    f"none of the {len(given)} carrier texts falls into the {bank} split; "
                    "give at least a few hundred texts without contact details"
                )
            random.Random(f"order/{seed}/{bank}").shuffle(self.given)

    def __getitem__(self, index: int) -> str:
        if self.given is not None:
            return self.given[index % len(self.given)]
        place = index % _BUILT_IN_CARRIERS
        return write_carrier(self.bank, random.Random(f"carrier/{self.bank}/{self.seed}/{place}"))


def generate(
    split: Split,
    count: int,
    seed: int,
    carriers: Sequence[str] | None = None,
    *,
    leak_share: float = 0.5,
    max_words: int | None = None,
    fictional: bool = False,
) -> Iterator[Example]:
    """Draw `count` examples of a split.

    Args:
        split: "train", "validation" and "test" share no carrier and no template family;
            "unseen_notation" is the test split with notations that training never shows.
        count: how many; a longer run begins with the examples of a shorter one.
        seed: decides everything that is drawn.
        carriers: real descriptions of all splits together; they are screened and shared out
            here, and only those of this split are used. None: our own grammar writes them.
        leak_share: share of examples with a leak, 0 .. 1.
        max_words: cut carriers to so many words; the sentences that are put in come on top. Short
            texts train several times faster, and a leak is a matter of its own sentence.
        fictional: fictional numbers, names and domains, fit to be printed or saved.

    Raises:
        InputError: an argument is out of range, or no carrier falls into the split.
    """
    if split not in SPLITS:
        raise InputError(f"split {split!r} is not known; choose from {', '.join(SPLITS)}")
    if count < 0:
        raise InputError(f"count must not be negative, found {count}")
    if not 0 <= leak_share <= 1:
        raise InputError(f"leak_share must be in 0 .. 1, found {leak_share}")
    if max_words is not None and max_words < 1:
        raise InputError(f"max_words must be positive, found {max_words}")
    source = _Carriers(_bank(split), seed, carriers)

    def draw() -> Iterator[Example]:
        for index in range(count):
            rng = random.Random(f"{split}/{seed}/{index}")
            example = _one(split, rng, source[index], leak_share, max_words)
            yield fictionalise(example) if fictional else example

    return draw()


def _one(
    split: Split, rng: random.Random, carrier: str, leak_share: float, max_words: int | None
) -> Example:
    bank = _bank(split)
    notations: Notations = "unseen" if split == "unseen_notation" else "trained"
    leaks = rng.random() < leak_share
    body = cut(carrier, rng, max_words)
    pieces: list[tuple[Family, list[Segment]]] = []
    # Fewer harmless sentences beside a leak, so that their number gives nothing away.
    amounts = (26, 34, 24, 12, 4) if leaks else (10, 26, 34, 22, 8)
    if max_words is not None and max_words <= _SNIPPET_WORDS:
        amounts = (62, 26, 9, 3, 0) if leaks else (12, 60, 20, 6, 2)
    for _ in range(rng.choices(range(5), amounts)[0]):
        family = _harmless_family(bank, rng)
        pieces.append((family, _rough(_draw(family, notations, rng), rng)))
    if max_words is not None and not leaks and not pieces:
        body = cut(carrier, rng, _BARE_TIMES * max_words)
    leak: Family | None = None
    leaked: list[Segment] = []
    if leaks:
        leak = _leak_family(bank, split, rng)
        leaked = _rough(_draw(leak, notations, rng), rng)
    if rng.random() < 0.03:  # short fields: the sentences alone
        body = []
    drawn = [segments for _, segments in pieces] + ([leaked] if leaks else [])
    rng.shuffle(drawn)
    for segments in drawn:
        _insert(body, segments, _place(rng), rng)
    if not body:
        body = cut(carrier, rng, max_words)
    if rng.random() < 0.02:
        body = _cased(body, "lower")
    first = pieces[0][0] if pieces else None
    main = leak or first
    like = Example(
        text="",
        label=int(leaks),
        kind=main.kind if main else "plain",
        family=main.name if main else "",
        span=None,
        carrier=_carrier_id(carrier),
        notation=next((it.notation for it in leaked if it.role == "leak"), ""),
        harmless=tuple(family.kind for family, _ in pieces),
    )
    if not leaks:  # a name in a harmless sentence is nobody's contact
        body = [
            Segment(it.text, it.twin, "third", it.notation) if it.role == "leak" else it
            for it in body
        ]
    return _example(body, like)


def compose_long(
    seed: int,
    carriers: Sequence[str] | None = None,
    *,
    split: Split = "test",
    words: int = 2000,
    leak_at: Literal["first", "middle", "last"] | None = "last",
    fictional: bool = False,
) -> Example:
    """A text of about `words` words from many carriers, with one leak at a given place, or none.

    Harmless sentences stand between the carriers. With leak_at="last" the leak is the last
    sentence.

    Raises:
        InputError: as for `generate`.
    """
    if split not in SPLITS:
        raise InputError(f"split {split!r} is not known; choose from {', '.join(SPLITS)}")
    if words < 1:
        raise InputError(f"words must be positive, found {words}")
    bank = _bank(split)
    notations: Notations = "unseen" if split == "unseen_notation" else "trained"
    source = _Carriers(bank, seed, carriers)
    rng = random.Random(f"long/{split}/{seed}/{leak_at}")
    blocks: list[list[Segment]] = []
    total = place = 0
    offset = rng.randrange(10_000)
    names: list[str] = []
    kinds: list[str] = []
    while total < words:
        carrier = source[offset + place]
        names.append(_carrier_id(carrier))
        place += 1
        body = whole(carrier)
        family = _harmless_family(bank, rng)
        kinds.append(family.kind)
        piece = [
            Segment(it.text, it.twin, "third", it.notation) if it.role == "leak" else it
            for it in _rough(_draw(family, notations, rng), rng)
        ]
        _insert(body, piece, _place(rng), rng)
        blocks.append(body)
        total += sum(len(it.text.split()) for it in body)
    leak = None
    notation = ""
    if leak_at is not None:
        leak = _leak_family(bank, split, rng)
        segments = _ended(_rough(_draw(leak, notations, rng), rng), rng)
        notation = next((it.notation for it in segments if it.role == "leak"), "")
        where = {"first": 0, "middle": len(blocks) // 2, "last": len(blocks)}[leak_at]
        blocks.insert(where, segments)
    flat: list[Segment] = []
    for block in blocks:
        flat += [Segment("\n", "\n"), *block] if flat else block
    like = Example(
        text="",
        label=int(leak is not None),
        kind=leak.kind if leak else "plain",
        family=leak.name if leak else "",
        span=None,
        carrier="+".join(names),
        notation=notation,
        harmless=tuple(kinds),
    )
    example = _example(flat, like)
    return fictionalise(example) if fictional else example
