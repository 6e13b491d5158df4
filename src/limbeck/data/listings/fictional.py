"""What may be shown: finding contacts in any text, and putting fictional ones in their place.

`scrub` is for text that we did not write; text of our own grammar carries its twin with it.
`real_contacts` is the judge: what it returns may not be printed, saved or committed.
"""

from __future__ import annotations

import re
import unicodedata

from limbeck.data.listings import phones

_FOR_ONE_DIGIT: tuple[tuple[str, ...], ...] = tuple(
    (word, *misspelt, *others)
    for word, misspelt, others in zip(phones.WORDS, phones.MISSPELT, zip(*phones.FOREIGN))
)
# Spellings of figures that are everyday words as well.
_EVERYDAY = frozenset(
    {"for", "fore", "too", "to", "tow", "ate", "ait", "tree", "free", "won", "un", "due", "sei"}
    | {"six", "neuf", "nein"}
)
_WORDS = {
    word.lower(): str(digit)
    for digit, words in enumerate(_FOR_ONE_DIGIT)
    for word in words
    if word == phones.WORDS[digit] or word not in _EVERYDAY
} | {"o": "0", "nought": "0"}
_WORD = re.compile(
    r"(?<![^\W\d_])(?:" + "|".join(sorted(_WORDS, key=len, reverse=True)) + r")(?![^\W\d_])",
    re.IGNORECASE,
)
_ZERO = re.compile(r"(?<=\d)[Oo]+(?=\W|\d|[Oo]|$)|[Oo]+(?=\d)")
_ONE = re.compile(r"(?<=\d)[lI]+(?=\W|\d|[lI]|$)|[lI]+(?=\d)")
# Runs of figures with at most three signs between them: seven figures make a number. A comma or
# full stop with a space behind it ends the run, or two neighbours in a list would make one.
_JOINT = r"(?:(?![.,] \d)[ \t().,/_*~|:=+\[\]<>{}'\\-]{0,3})"
_FIGURES = re.compile(rf"\+?\d(?:{_JOINT}\d){{6,}}")
_ANY = r"[ \t().,/_*~|:=+\[\]<>{}'\\;x-]{0,4}"
_FICTIONAL_NUMBER = re.compile(
    rf"5{_ANY}5{_ANY}5{_ANY}0{_ANY}1{_ANY}\d{_ANY}\d(?!\d)"
    rf"|(?<!\d)\d{_ANY}\d{_ANY}1{_ANY}0{_ANY}5{_ANY}5{_ANY}5"  # written backwards
    r"|(?<!\d)0{3,}\d{1,2}(?!\d)|0\.0+\d{1,2}0*|(?<!\d)0+[-/ ]0*\d{1,2}(?!\d)"
)
_DATE = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:\d{4}|\d\d))(?!\d)"
)
_SUM = re.compile(r"\((\d)\+(\d)\)")
_AT = r"\s?(?:@|＠|\(at\)|\[at\]|\{at\}|<at>)\s?"
_DOT = r"(?:\.(?!\s)|\s\.\s|\s?(?:\(dot\)|\[dot\]|\{dot\}|<dot>|\bdot\b)\s?)"
_EMAIL = re.compile(
    rf"[\w.+-]+{_AT}(?:[\w-]+(?:{_DOT}[\w-]+)+|(?:gmail|hotmail|yahoo|outlook|icloud|aol)\b)",
    re.IGNORECASE,
)
_SITE = re.compile(
    rf"\b(?:https?://)?(?:www\s?[.,]\s?)?[a-z0-9-]{{2,}}(?:\.[a-z0-9-]{{2,}})*{_DOT}"
    r"(?:com|net|org|info|co\.uk|ie|ca|com\.au|eu|fr|de|es|pt|nl|ch|biz|hk|io|travel|rentals|online)"
    r"\b(?:/\S*)?",
    re.IGNORECASE,
)
_HANDLE = re.compile(r"(?<![\w.])@\s?[A-Za-z][\w.]{2,}")
_FICTIONAL = re.compile(r"example|exa\b|mple\b|elpmaxe|3x4mp13|sample", re.IGNORECASE)


def _figure_runs(text: str) -> list[re.Match[str]]:
    return [match for match in _FIGURES.finditer(text) if not _DATE.search(match.group())]


def _scrub_numbers(text: str) -> str:
    out: list[str] = []
    at = 0
    for match in _figure_runs(text):
        if _FICTIONAL_NUMBER.search(match.group()):
            continue
        out += [text[at : match.start()], "555-0100"]
        at = match.end()
    return "".join([*out, text[at:]])


def _keep_fictional(pattern: re.Pattern[str], instead: str, text: str) -> str:
    return pattern.sub(lambda m: m.group() if _FICTIONAL.search(m.group()) else instead, text)


def scrub(text: str) -> str:
    """Put fictional contacts in place of whatever looks like a contact, whoever's it is.

    Meant for text from outside: numbers of seven figures or more, e-mail addresses, domains and
    handles. It errs on the side of hiding too much: a long price list may lose figures as well.
    """
    text = _keep_fictional(_EMAIL, "host@example.com", text)
    text = _keep_fictional(_SITE, "example.com", text)
    text = _keep_fictional(_HANDLE, "@example_host", text)
    return _scrub_numbers(text)


def normalise(text: str) -> str:
    """Look-alike figures and letters to plain ones, and number words to figures."""
    plain = text.replace("\ufe0f\u20e3", " ")
    plain = "".join(
        f" {unicodedata.digit(sign)} " if sign.isdigit() and not sign.isdecimal() else sign
        for sign in plain
    )
    plain = unicodedata.normalize("NFKC", plain)
    plain = _SUM.sub(lambda m: str(int(m.group(1)) + int(m.group(2))), plain)
    plain = _WORD.sub(lambda m: _WORDS[m.group().lower()], plain)
    return _ONE.sub(
        lambda m: "1" * len(m.group()), _ZERO.sub(lambda m: "0" * len(m.group()), plain)
    )


def real_contacts(text: str) -> list[str]:
    """Numbers, addresses, domains and handles in a text that are not fictional.

    Number words and look-alike figures count as figures. An empty list means: fit to be shown.
    """
    plain = normalise(text)
    found = [
        match.group()
        for pattern in (_EMAIL, _SITE, _HANDLE)
        for match in pattern.finditer(plain)
        if not _FICTIONAL.search(match.group())
    ]
    rest = _FICTIONAL_NUMBER.sub(" fiction ", _DATE.sub(" date ", plain))
    return found + [match.group() for match in _figure_runs(rest)]
