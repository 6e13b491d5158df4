"""Texts that carry leaks: written by our own grammar, or real descriptions shared out by split.

No carrier is in two splits. Built-in carriers draw on sentence families that belong to one split;
given texts are shared out so that texts with a long sentence in common stay together.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterable, Sequence

from limbeck.data.listings.catalogue import BANKS, Bank, by_kind
from limbeck.data.listings.grammar import Segment, expand
from limbeck.data.listings.slots import filler

# Marks segments of the carrier: other sentences may go into and between those, but not into each
# other.
CARRIED = "carrier"
# Shares of given carriers, in hundredths, in the order of BANKS.
SHARES: dict[Bank, int] = {"train": 65, "validation": 15, "test": 20}
_SECTIONS = (
    *("space", "bedroom", "kitchen", "bath", "outdoors"),
    *("location", "host", "rules", "closing"),
)
_HEADINGS = {
    "space": ("The space", "Space"),
    "location": ("The neighbourhood", "Neighborhood overview", "Location"),
    "host": ("During your stay", "Interaction with guests"),
    "rules": ("Other things to note", "House rules", "Please note"),
    "outdoors": ("Guest access",),
}
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_NOT_LETTERS = re.compile(r"[^a-z]+")
# Words in common that make two given texts one household, and how often a sentence may occur
# before it counts as a phrase that everybody uses.
_LONG_SENTENCE_LETTERS = 45


def sentences(text: str) -> list[str]:
    """Split a text at sentence ends and line breaks; joined with what stood between, they give it.

    Returns an alternation of sentence and separator, beginning with a sentence.
    """
    parts: list[str] = []
    at = 0
    for match in _SENTENCE_END.finditer(text):
        if match.start() > at:
            parts += [text[at : match.start()], match.group()]
        elif parts:
            parts[-1] += match.group()
        at = match.end()
    if at < len(text):
        parts.append(text[at:])
    elif parts:
        parts.pop()
    return parts


def write_carrier(bank: Bank, rng: random.Random) -> str:
    """A listing description of 20 to 220 words from the sentence families of one split."""
    kinds = by_kind("carrier", bank)
    fill = filler("trained")

    def sentence(kind: str) -> str:
        family = rng.choice(kinds[kind])
        text = "".join(segment.text for segment in expand(family.parsed, rng, fill))
        text = text[0].upper() + text[1:]
        return text if text[-1] in ".!?" else text + rng.choices(".!", (9, 1))[0]

    wanted = rng.choices((2, 3, 5, 7, 9), (2, 3, 4, 4, 3))[0]
    headed = rng.random() < 0.3
    chosen = sorted(rng.sample(range(len(_SECTIONS)), wanted))
    paragraphs = [sentence("opening") + (" " + sentence("opening") if rng.random() < 0.2 else "")]
    for index in chosen:
        kind = _SECTIONS[index]
        count = min(len(kinds[kind]), rng.choices((1, 2, 3, 4), (4, 4, 2, 1))[0])
        body = " ".join(dict.fromkeys(sentence(kind) for _ in range(count)))
        if headed and kind in _HEADINGS and rng.random() < 0.7:
            body = f"{rng.choice(_HEADINGS[kind])}\n{body}"
        paragraphs.append(body)
    joint = rng.choices((" ", "\n", "\n\n"), (5, 2, 3))[0]
    return joint.join(paragraphs)


def _skeleton(text: str) -> str:
    return _NOT_LETTERS.sub("", text.lower())


def split_carriers(texts: Iterable[str]) -> dict[Bank, list[str]]:
    """Share texts out to train, validation and test; each text, and all that resembles it, to one.

    Texts that share a sentence of at least 45 letters (digits, case and punctuation aside) are one
    group, and a group goes where the hash of its first sentence in alphabetical order sends it.
    Empty texts and exact repeats are dropped. The order within a split is that of the input.
    """
    kept = [text for text in dict.fromkeys(text.strip() for text in texts) if text]
    parent = list(range(len(kept)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    owner: dict[str, int] = {}
    marks: list[str] = []
    for index, text in enumerate(kept):
        found = {_skeleton(part) for part in sentences(text)[::2]}
        keys = {key for key in found if len(key) >= _LONG_SENTENCE_LETTERS} or {_skeleton(text)}
        marks.append(min(keys))
        for key in keys:
            other = owner.setdefault(key, index)
            parent[root(index)] = root(other)
    smallest: dict[int, str] = {}
    for index, mark in enumerate(marks):
        top = root(index)
        smallest[top] = min(smallest.get(top, mark), mark)
    out: dict[Bank, list[str]] = {bank: [] for bank in BANKS}
    for index, text in enumerate(kept):
        digest = hashlib.sha256(smallest[root(index)].encode()).digest()
        place = int.from_bytes(digest[:8], "big") % 100
        for bank in BANKS:
            place -= SHARES[bank]
            if place < 0:
                out[bank].append(text)
                break
    return out


# A real text that already names a way around the platform would be a wrong negative, and so would
# one that only may: texts are many, and a false-alarm rate of one in a thousand leaves no room for
# wrong labels. What an honest text says in thousands of places ("message us", a street, a price)
# stays.
_LEAKS_ALREADY = re.compile(
    r"""(?ix)
    # addresses in the net, and what hides them
    \bdot[\]\)\s]*(?:com|net|org|info|co|uk|us|ca|ie|hk|au)\b | \b(?:g|hot)\s?\(?mail\b
    | @\s?\w+\s?(?:\.|dot)\s?\w | (?<!\w)@[a-z]\w{3,} | \bhttps?:// | \bwww\s?[.,]
    | \b[a-z0-9-]{3,}\s?\.\s?(?:com|net|org|info|co\.uk|com\.au)\b
    | \b[a-z0-9-]{3,}\.(?:ie|ca|uk|hk|us)\b | \b(?:visit|at|on)\s+\w{5,}\s+com\b
    | \bweb\s?(?:site|page)\b | \bon\s?line\s+at\b | \bmore\s+info\w*\s+at\b
    | \be-?mail\s+(?:me|us|at)\b | \bmy\s+e-?mail\b
    # messengers, networks, video channels
    | \bwhat\W?s?\s?app\b | \b(?:viber|telegram|we\s?chat|weixin|kakao\s?talk|skype)\b
    | \b(?:insta(?:gram)?|facebook|ig|fb|tik\s?tok|pinterest|twitter)\s?[:@]\s?\w
    | \b(?:our|my|on|us|me)\s+(?:instagram|facebook|tik\s?tok|twitter|social\s?(?:s|media))\b
    | \byou\s?tube\s+(?:channel|video|tour|link|search)\b
    | \bon\s+(?:you\s?tube|socials?|vimeo)\b
    # numbers
    | \+?\(?\d{3}\)?[\s.-]\d{3}[\s.-]\d{4}\b | \+\d[\d\s().-]{8,}
    | \b(?:text|call|phone|ring)\s+(?:me|us|the\s+(?:owner|host))\s+(?:on|at|before)\b
    # names to look for
    | \bbook(?:ing)?\s+(?:with\s+us\s+)?direct(?:ly)?\b
    | \bgoogle\s+(?:us|me|for|our|the\s+name|search|earth)\b | \bg\s+earth\b
    | \b(?:search|look)\s+(?:for\s+|up\s+)?us\b | \b(?:search|enter|type)\s+(?:in\s+)?["\u201c]
    | \bvideo\b[^.!?\n]{0,40}\b(?:search|titled|called)\b
    | \bfind\s+us\s+(?:on|online|at|by)\b | \bfollow\s+us\b
    | \bvisit\s+our\s+(?:page|site|profile)\b | \bbest\s+(?:available\s+)?rates?\b
    | \b(?:vrbo|homeaway|trip\s?advisor|yelp|craigslist|gumtree|zillow|kijiji)\b
    # businesses of the host
    | \brealty\b | \brealtors?\b | \breal\s+estate\b | \b(?:ltd|llc|gmbh)\b
    | \bproperty\s+manage(?:rs?|ment)\b
    | \b(?:managed|hosted|operated|run|owned)\s+by\s+\W*(?-i:[A-Z])
    """
)


def already_leaks(text: str) -> bool:
    """Whether a real description carries a contact of its own, or may: no carrier, then."""
    return _LEAKS_ALREADY.search(text) is not None


def screen(texts: Iterable[str]) -> list[str]:
    """The texts that are fit to carry: those that do not leak already."""
    return [text for text in texts if not already_leaks(text)]


def cut(text: str, rng: random.Random, max_words: int | None = None) -> list[Segment]:
    """The carrier as sentences and separators.

    Now and then it is only a few sentences of it, as short fields have; with max_words always no
    more than so many words, in whole sentences where the first one is not longer by itself.
    """
    parts: Sequence[str] = sentences(text)
    count = (len(parts) + 1) // 2
    if max_words is not None:
        start = rng.randrange(count) if count else 0
        room = max_words
        end = start
        while end < count and (room := room - len(parts[2 * end].split())) >= 0:
            end += 1
        if end == start:
            return (
                [Segment(*(" ".join(parts[2 * start].split()[:max_words]),) * 2)] if count else []
            )
        parts = parts[2 * start : 2 * end - 1]
    elif count > 2 and rng.random() < 0.2:
        keep = rng.randint(1, min(4, count))
        start = rng.randint(0, count - keep)
        parts = parts[2 * start : 2 * (start + keep) - 1]
    return [_carried(part) for part in parts]


def whole(text: str) -> list[Segment]:
    """All of the carrier as sentences and separators."""
    return [_carried(part) for part in sentences(text)]


def _carried(text: str) -> Segment:
    return Segment(text, text, notation=CARRIED)
