"""Phone numbers and the many ways in which people write them.

A number is drawn at random for training, or in the 555-01xx range that is kept for fiction; a
notation turns either into text with the same choices, so that every drawn number has a twin.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

DIGITS = "0123456789"


@dataclass(frozen=True)
class Number:
    """country: dialling code without plus; trunk: the zero dialled at home; groups: the rest."""

    country: str
    trunk: str
    groups: tuple[str, ...]

    @property
    def local_groups(self) -> tuple[str, ...]:
        """As dialled at home: the trunk digit joins the first group."""
        return (self.trunk + self.groups[0], *self.groups[1:])


# dialling code, trunk, ways to group, first digits of a mobile or city number, weight
_COUNTRIES: tuple[tuple[str, str, tuple[tuple[int, ...], ...], tuple[str, ...], int], ...] = (
    ("1", "", ((3, 3, 4), (3, 3, 4), (3, 3, 4), (3, 3, 2, 2)), (), 46),
    ("44", "0", ((4, 6), (4, 3, 3), (2, 4, 4)), ("7", "20", "161", "131"), 9),
    ("353", "0", ((2, 3, 4), (2, 7)), ("83", "85", "86", "87", "89"), 7),
    ("61", "0", ((3, 3, 3), (1, 4, 4)), ("4", "2", "7"), 4),
    ("33", "0", ((1, 2, 2, 2, 2),), ("6", "7", "1"), 5),
    ("49", "0", ((3, 4, 4), (3, 8), (2, 3, 2, 3)), ("15", "16", "17", "30"), 4),
    ("39", "", ((3, 3, 4), (3, 7)), ("3",), 4),
    ("34", "", ((3, 3, 3), (3, 2, 2, 2)), ("6", "7", "9"), 4),
    ("351", "", ((3, 3, 3),), ("9", "2"), 2),
    ("852", "", ((4, 4),), ("5", "6", "9"), 4),
    ("31", "0", ((1, 4, 4), (1, 2, 2, 2, 2)), ("6",), 2),
    ("41", "0", ((2, 3, 2, 2),), ("7",), 1),
    ("52", "", ((2, 4, 4),), ("55", "33", "99"), 2),
    ("55", "", ((2, 5, 4),), ("119", "219"), 1),
    ("91", "", ((5, 5),), ("9", "8"), 2),
    ("65", "", ((4, 4),), ("8", "9"), 1),
    ("81", "0", ((2, 4, 4),), ("90", "80"), 1),
    ("30", "", ((3, 3, 4),), ("69", "21"), 1),
    ("48", "", ((3, 3, 3),), ("5", "6"), 1),
    ("46", "0", ((2, 3, 2, 2),), ("7",), 1),
    ("64", "0", ((2, 3, 4),), ("2",), 1),
)
_WEIGHTS = [row[4] for row in _COUNTRIES]


def draw_number(rng: random.Random) -> tuple[Number, Number]:
    """A random number and its fictional twin.

    The twin of a North American number keeps 555-01xx behind the drawn area code; the twin of any
    other is dialling code + 555-01xx, too short to be anybody's.
    """
    country, trunk, groupings, starts, _ = rng.choices(_COUNTRIES, _WEIGHTS)[0]
    sizes = rng.choice(groupings)
    tail = f"{rng.randrange(100):02d}"
    if country == "1":
        area = rng.choice("23456789") + rng.choice(DIGITS) + rng.choice(DIGITS)
        exchange = rng.choice("23456789") + rng.choice(DIGITS) + rng.choice(DIGITS)
        line = "".join(rng.choice(DIGITS) for _ in range(4))
        if rng.random() < 0.07:
            return Number("1", "", (exchange, line)), Number("1", "", ("555", "01" + tail))
        split = (line,) if sizes == (3, 3, 4) else (line[:2], line[2:])
        twin = ("01" + tail,) if sizes == (3, 3, 4) else ("01", tail)
        return Number("1", "", (area, exchange, *split)), Number("1", "", (area, "555", *twin))
    start = rng.choice(starts)
    digits = start + "".join(rng.choice(DIGITS) for _ in range(sum(sizes) - len(start)))
    groups: list[str] = []
    at = 0
    for size in sizes:
        groups.append(digits[at : at + size])
        at += size
    short = ("555", "01" + tail) if len(sizes) < 4 else ("555", "01", tail)
    return Number(country, trunk, tuple(groups)), Number(country, trunk, short)


Notation = Callable[[random.Random, Number], str]

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen"),
    *("sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
MISSPELT = (
    ("zer0", "ziro", "zerro", "oh"),
    ("won", "wun", "0ne", "oen"),
    ("too", "tow", "tu", "tw0"),
    ("tree", "thre", "threee", "free"),
    ("for", "fore", "foor", "f0ur"),
    ("fife", "fiv", "faiv", "f1ve"),
    ("sicks", "siks", "s1x", "sixx"),
    ("sevn", "sven", "7even", "sewen"),
    ("ate", "eigt", "ait", "eigth"),
    ("nein", "nin", "nyne", "n1ne"),
)
FOREIGN = (
    ("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"),
    ("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"),
    ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"),
    ("zero", "uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove"),
)
_ROMAN = ("O", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
_RADIO = ("zero", "wun", "too", "tree", "fower", "fife", "six", "seven", "ait", "niner")


def _dialled(rng: random.Random, number: Number) -> tuple[str, ...]:
    """The groups with or without the country, as the writer thinks of the reader."""
    roll = rng.random()
    if number.country == "1":
        if roll < 0.12 and len(number.groups) > 2:
            return ("1", *number.groups)
        return number.groups
    if roll < 0.45:
        return (rng.choice(("+", "+", "+", "00")) + number.country, *number.groups)
    if roll < 0.5:
        return (number.country, *number.groups)
    return number.local_groups


def _digits(rng: random.Random, number: Number) -> str:
    return "".join(_dialled(rng, number)).replace("+", rng.choice(("00", "")))


def _dashes(rng: random.Random, number: Number) -> str:
    return "-".join(_dialled(rng, number))


def _dots(rng: random.Random, number: Number) -> str:
    return ".".join(_dialled(rng, number))


def _spaces(rng: random.Random, number: Number) -> str:
    return " ".join(_dialled(rng, number))


def _solid(rng: random.Random, number: Number) -> str:
    return "".join(_dialled(rng, number))


def _brackets(rng: random.Random, number: Number) -> str:
    groups = number.local_groups
    gap = rng.choice((" ", " ", "", "-"))
    joint = rng.choice(("-", "-", " ", "."))
    head = rng.choice(("", "", "", f"+{number.country} " if not number.trunk else ""))
    return f"{head}({groups[0]}){gap}{joint.join(groups[1:])}"


def _trunk_bracket(rng: random.Random, number: Number) -> str:
    middle = f" ({number.trunk or '0'}) " if number.country != "1" else " "
    joint = rng.choice((" ", "-", ""))
    return f"+{number.country}{middle}{joint.join(number.groups)}"


def _odd_separators(rng: random.Random, number: Number) -> str:
    joint = rng.choice(
        ("/", " / ", "_", "*", " * ", " - ", "--", " . ", "~", ", ", " | ", ":", "=")
    )
    return joint.join(_dialled(rng, number))


def _spaced(rng: random.Random, number: Number) -> str:
    joint = rng.choice((" ", " ", "  ", "-", ".", " - ", ", ", "/"))
    return joint.join(_digits(rng, number))


def _bracketed_digits(rng: random.Random, number: Number) -> str:
    left, right = rng.choice((("(", ")"), ("[", "]"), ("<", ">"), ("{", "}")))
    gap = rng.choice(("", "", " "))
    return gap.join(f"{left}{digit}{right}" for digit in _digits(rng, number))


def _cased(rng: random.Random, word: str) -> str:
    roll = rng.random()
    if roll < 0.12:
        return word.upper()
    if roll < 0.24:
        return word.capitalize()
    return word


def _zero_word(rng: random.Random) -> str:
    return rng.choice(("zero", "zero", "zero", "oh", "o", "0"))


def _spelled(rng: random.Random, number: Number) -> str:
    zero = _zero_word(rng)
    style = rng.random()
    words = [zero if digit == "0" else WORDS[int(digit)] for digit in _digits(rng, number)]
    if style < 0.12:
        words = [word.upper() for word in words]
    elif style < 0.22:
        words = [word.capitalize() for word in words]
    return rng.choice((" ", " ", " ", " ", "-", ", ", ".", " . ")).join(words)


def _spelled_groups(rng: random.Random, number: Number) -> str:
    groups = [
        " ".join(WORDS[int(digit)] for digit in group if digit in DIGITS)
        for group in _dialled(rng, number)
    ]
    joint = rng.choice((", ", " - ", "... ", " / ", "; "))
    return joint.join(groups)


def _doubles(rng: random.Random, number: Number) -> str:
    digits = _digits(rng, number)
    zero = rng.choice(("oh", "zero", "nought"))
    out: list[str] = []
    at = 0
    while at < len(digits):
        word = zero if digits[at] == "0" else WORDS[int(digits[at])]
        if digits[at : at + 3] == digits[at] * 3:
            out.append("triple " + word)
            at += 3
        elif digits[at : at + 2] == digits[at] * 2:
            out.append("double " + word)
            at += 2
        else:
            out.append(word)
            at += 1
    return " ".join(out)


def _mixed(rng: random.Random, number: Number) -> str:
    share = rng.choice((0.25, 0.5, 0.75))
    gap = rng.choice((" ", " ", "", "-", "."))
    return gap.join(
        _cased(rng, WORDS[int(digit)]) if rng.random() < share else digit
        for digit in _digits(rng, number)
    )


def _group_words(rng: random.Random, number: Number) -> str:
    out = []
    for group in _dialled(rng, number):
        digits = group.lstrip("+")
        if rng.random() < 0.5:
            out.append(" ".join(WORDS[int(digit)] for digit in digits))
        else:
            out.append(digits)
    return rng.choice((" ", " - ", "-", ", ")).join(out)


def _pair_word(pair: str) -> str:
    value = int(pair)
    if len(pair) == 1:
        return WORDS[value]
    if pair[0] == "0":
        return f"zero {WORDS[value]}"
    if value < 20:
        return _TEENS[value - 10]
    tens = _TENS[value // 10]
    return tens if value % 10 == 0 else f"{tens}{'-' if value % 2 else ' '}{WORDS[value % 10]}"


def _tens(rng: random.Random, number: Number) -> str:
    digits = _digits(rng, number)
    pairs = [digits[at : at + 2] for at in range(0, len(digits), 2)]
    return rng.choice((" ", ", ", " - ")).join(_pair_word(pair) for pair in pairs)


_LETTERS = {"0": "Oo", "1": "lI", "5": "Ss", "8": "B", "2": "Zz", "3": "E", "6": "b", "9": "g"}


def _letters(rng: random.Random, number: Number) -> str:
    sure = "01" if rng.random() < 0.7 else "0158"
    swap = {digit: rng.choice(_LETTERS[digit]) for digit in sure}
    joint = rng.choice(("-", " ", ".", "", ""))
    return joint.join(
        "".join(swap.get(digit, digit) for digit in group) for group in _dialled(rng, number)
    )


def _misspelt(rng: random.Random, number: Number) -> str:
    share = rng.choice((0.3, 0.6))
    return rng.choice((" ", " ", "-", " . ")).join(
        rng.choice(MISSPELT[int(digit)]) if rng.random() < share else WORDS[int(digit)]
        for digit in _digits(rng, number)
    )


def _fullwidth(rng: random.Random, number: Number) -> str:
    joint = rng.choice(("－", " ", "-", ""))
    text = joint.join(_dialled(rng, number))
    return "".join(chr(0xFF10 + int(sign)) if sign in DIGITS else sign for sign in text)


def _filler(rng: random.Random, number: Number) -> str:
    groups = [group.lstrip("+") for group in _dialled(rng, number)]
    word = rng.choice(("then", "and then", "dot", "dash", "space", "hyphen", "followed by", "plus"))
    return f" {word} ".join(groups)


def _area_code(rng: random.Random, number: Number) -> str:
    groups = number.local_groups
    rest = rng.choice(("-", " ", "")).join(groups[1:])
    lead = rng.choice(("area code", "prefix", "code", "first"))
    tie = rng.choice((" then", ", number", " followed by", ", then", " and", " -"))
    return f"{lead} {groups[0]}{tie} {rest}"


def _noise_letters(rng: random.Random, number: Number) -> str:
    joint = rng.choice((" x ", "x", ".-.", "...", " ... ", "++", "'", " _ ", "\\"))
    return joint.join(_dialled(rng, number))


def _pairs(rng: random.Random, number: Number) -> str:
    digits = _digits(rng, number)
    size = rng.choice((2, 2, 3))
    joint = rng.choice((" ", " ", "-", ".", "/"))
    return joint.join(digits[at : at + size] for at in range(0, len(digits), size))


def _keycaps(rng: random.Random, number: Number) -> str:
    return rng.choice(("", " ")).join(f"{digit}\ufe0f\u20e3" for digit in _digits(rng, number))


def _circled(rng: random.Random, number: Number) -> str:
    ring = "⓪①②③④⑤⑥⑦⑧⑨" if rng.random() < 0.6 else "⓿❶❷❸❹❺❻❼❽❾"
    return rng.choice(("", " ")).join(ring[int(digit)] for digit in _digits(rng, number))


def _fancy(rng: random.Random, number: Number) -> str:
    base = rng.choice((0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6))
    return rng.choice(("", " ", "-")).join(
        "".join(chr(base + int(digit)) for digit in group.lstrip("+"))
        for group in _dialled(rng, number)
    )


def _superscript(rng: random.Random, number: Number) -> str:
    marks = rng.choice(("⁰¹²³⁴⁵⁶⁷⁸⁹", "₀₁₂₃₄₅₆₇₈₉"))
    return "".join(marks[int(digit)] for digit in _digits(rng, number))


def _roman(rng: random.Random, number: Number) -> str:
    return rng.choice((" ", "-", ".")).join(_ROMAN[int(digit)] for digit in _digits(rng, number))


def _foreign(rng: random.Random, number: Number) -> str:
    words = rng.choice(FOREIGN)
    return rng.choice((" ", " ", "-")).join(words[int(digit)] for digit in _digits(rng, number))


def _radio(rng: random.Random, number: Number) -> str:
    return " ".join(_RADIO[int(digit)] for digit in _digits(rng, number))


def _glued(rng: random.Random, number: Number) -> str:
    words = [WORDS[int(digit)] for digit in _digits(rng, number)]
    if rng.random() < 0.5:
        words = [word.capitalize() for word in words]
    return "".join(words)


def _sums(rng: random.Random, number: Number) -> str:
    out = []
    for digit in _digits(rng, number):
        part = rng.randrange(int(digit) + 1)
        out.append(f"({int(digit) - part}+{part})")
    return rng.choice(("", " ")).join(out)


def _backwards(rng: random.Random, number: Number) -> str:
    text = _digits(rng, number)[::-1]
    return f"{text} {rng.choice(('(read it backwards)', 'reversed', '- right to left'))}"


TRAINED: dict[str, tuple[Notation, float]] = {
    "dashes": (_dashes, 10),
    "dots": (_dots, 6),
    "spaces": (_spaces, 9),
    "solid": (_solid, 7),
    "brackets": (_brackets, 9),
    "trunk bracket": (_trunk_bracket, 3),
    "odd separators": (_odd_separators, 6),
    "spaced digits": (_spaced, 6),
    "bracketed digits": (_bracketed_digits, 2),
    "spelled out": (_spelled, 9),
    "spelled groups": (_spelled_groups, 4),
    "double and triple": (_doubles, 3),
    "digits and words": (_mixed, 6),
    "groups in words": (_group_words, 4),
    "tens": (_tens, 4),
    "letters for digits": (_letters, 6),
    "misspelt words": (_misspelt, 3),
    "full-width": (_fullwidth, 2),
    "filler words": (_filler, 3),
    "area code named": (_area_code, 2),
    "noise between": (_noise_letters, 3),
    "pairs": (_pairs, 4),
}
PLAIN: tuple[str, ...] = ("dashes", "dots", "spaces", "solid", "brackets", "trunk bracket")
UNSEEN: dict[str, tuple[Notation, float]] = {
    "keycaps": (_keycaps, 1),
    "circled": (_circled, 1),
    "mathematical": (_fancy, 1),
    "superscript": (_superscript, 1),
    "roman": (_roman, 1),
    "foreign words": (_foreign, 1),
    "radio words": (_radio, 1),
    "words glued": (_glued, 1),
    "sums": (_sums, 1),
    "backwards": (_backwards, 1),
}
