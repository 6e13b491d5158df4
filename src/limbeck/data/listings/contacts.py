"""E-mail addresses, websites and handles, and the many ways in which people hide them.

Each draw gives the random value and its fictional twin in the same notation: example.com,
example.org, example.net or a name under .example, and handles that start with "example".
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from limbeck.data.listings.catalogue import words

_FICTIONAL_DOMAINS = (
    ("example", "com"),
    ("example", "org"),
    ("example", "net"),
    ("stay", "example"),
    ("casa", "example"),
    ("rooms", "example"),
)
_SYLLABLES = (
    *("ba", "be", "bo", "ca", "co", "da", "de", "di", "fa", "fi", "ga", "go", "ha", "jo"),
    *("ka", "ki", "la", "le", "lo", "ma", "me", "mi", "mo", "na", "ne", "ni", "no", "pa"),
    *("pe", "po", "ra", "re", "ri", "ro", "sa", "se", "si", "so", "ta", "te", "ti", "to"),
    *("va", "ve", "vi", "wa", "ya", "za", "ron", "lin", "mar", "ton", "bel", "san", "tor"),
)


@dataclass(frozen=True)
class Address:
    """local@name.tld; local is "" for a website, path may follow a website."""

    local: str
    name: str
    tld: str
    path: str = ""


def _pick(rng: random.Random, name: str) -> str:
    return rng.choice(words()[name])


def invented(rng: random.Random) -> str:
    """A word that nobody has seen: two to four syllables."""
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 4)))


def _tld(rng: random.Random) -> str:
    return _pick(rng, "tldcommon" if rng.random() < 0.8 else "tldrare")


def _site_name(rng: random.Random, names: str) -> str:
    parts = [_pick(rng, names) for _ in range(rng.choice((1, 2, 2, 2, 3)))]
    if rng.random() < 0.35 or len(parts) == 1:
        parts.insert(rng.randrange(len(parts) + 1), invented(rng))
    if rng.random() < 0.2:
        parts[0] = _pick(rng, "first").lower()
    joint = "-" if rng.random() < 0.15 else ""
    return joint.join(parts) + (str(rng.randint(1, 99)) if rng.random() < 0.08 else "")


def _local(rng: random.Random) -> str:
    first, last = _pick(rng, "first").lower(), _pick(rng, "last").lower()
    word = _pick(rng, "domainword")
    shapes = (
        *(first + last, f"{first}.{last}", f"{first}_{last}", first[0] + last, first),
        *(f"{first}.{word}", word + invented(rng), f"{word}.{first}", invented(rng) + first),
        *("info", "booking", "reservations", "stay", "hello", f"{last}{word}", f"{first}s{word}"),
    )
    tail = str(rng.choice((rng.randint(1, 99), rng.randint(1960, 2012))))
    return rng.choice(shapes) + (tail if rng.random() < 0.3 else "")


def _fictional(rng: random.Random) -> tuple[str, str]:
    return rng.choice(_FICTIONAL_DOMAINS)


def draw_email(rng: random.Random, third: bool) -> tuple[Address, Address]:
    """An e-mail address and its twin; `third` draws the office of a business."""
    locals_ = ("host", "info", "stay.here", "alex", "sam_sample", "hello")
    # Some notations drop the ending, so the name alone must show that it is fiction.
    twin = Address(rng.choice(locals_), "example", rng.choice(("com", "org", "net")))
    if third:
        office = rng.choice(
            ("info", "bookings", "tickets", "hello", "contact", "office", "visit", "permits")
        )
        return Address(office, _site_name(rng, "netword"), _tld(rng)), twin
    if rng.random() < 0.62:
        return Address(_local(rng), _pick(rng, "provider"), "com"), twin
    return Address(_local(rng), _site_name(rng, "domainword"), _tld(rng)), twin


def draw_site(rng: random.Random, third: bool) -> tuple[Address, Address]:
    """A website and its twin; `third` draws that of a business, museum or transit authority."""
    name, tld = _fictional(rng)
    path = ""
    if rng.random() < 0.15:
        path = "/" + rng.choice(("", "en", "book", "rooms", "home", "index.html", invented(rng)))
    twin_path = "/rooms" if path else ""
    site = Address("", _site_name(rng, "netword" if third else "domainword"), _tld(rng), path)
    return site, Address("", name, tld, twin_path)


def draw_handle(rng: random.Random, third: bool) -> tuple[str, str]:
    """A social handle without the at sign, and its twin."""
    word = _pick(rng, "netword" if third else "domainword")
    other = _pick(rng, "netword" if third else "domainword")
    first, last = _pick(rng, "first").lower(), _pick(rng, "last").lower()
    made = invented(rng)
    shapes = [
        f"{word}{other}",
        f"{word}_{other}",
        f"{word}.{made}",
        f"{made}{word}",
        f"{word}by{made}",
    ]
    if not third:
        shapes += [
            first + last,
            f"{first}_{last}",
            f"{first}.{last}",
            f"{first}{word}",
            f"the{word}{first}",
        ]
    tail = rng.choice((str(rng.randint(1, 99)), str(rng.randint(1970, 2010)), "_", "official"))
    handle = rng.choice(shapes) + (tail if rng.random() < 0.2 else "")
    twin = (
        "example" + rng.choice(("_host", ".stay", "rooms", "_flat", "casa")) + rng.choice(("", "1"))
    )
    return handle, twin


Hide = Callable[[random.Random, Address], str]


def _at(rng: random.Random) -> str:
    return rng.choice(
        ("at", "at", "AT", "(at)", "[at]", "{at}", "-at-", "<at>", "_at_", "(AT)", "*at*")
    )


def _dot(rng: random.Random) -> str:
    return rng.choice(
        ("dot", "dot", "DOT", "(dot)", "[dot]", "{dot}", "-dot-", "<dot>", "(DOT)", "*dot*")
    )


def _email_plain(rng: random.Random, it: Address) -> str:
    return f"{it.local}@{it.name}.{it.tld}"


def _email_spaced(rng: random.Random, it: Address) -> str:
    at = rng.choice((" @ ", " @", "@ "))
    dot = rng.choice((" . ", ".", " .", ". "))
    return f"{it.local}{at}{it.name}{dot}{it.tld}"


def _email_words(rng: random.Random, it: Address) -> str:
    gap = rng.choice((" ", " ", " ", ""))
    at, dot = _at(rng), _dot(rng)
    if not gap and at.isalpha():
        gap = " "
    local = it.local.replace(".", f"{gap}{dot}{gap}") if rng.random() < 0.7 else it.local
    tld = it.tld.replace(".", f"{gap}{dot}{gap}")
    return f"{local}{gap}{at}{gap}{it.name}{gap}{dot}{gap}{tld}"


def _email_at_only(rng: random.Random, it: Address) -> str:
    return f"{it.local} {_at(rng)} {it.name}.{it.tld}"


def _email_dot_only(rng: random.Random, it: Address) -> str:
    return f"{it.local}@{it.name} {_dot(rng)} {it.tld}"


def _email_no_tld(rng: random.Random, it: Address) -> str:
    joint = rng.choice((" at ", " (at) ", "@", " @ ", " AT ", " [at] "))
    return f"{it.local}{joint}{it.name}"


def _email_broken_provider(rng: random.Random, it: Address) -> str:
    hidden = {
        "gmail": (
            "g mail",
            "gee mail",
            "g-mail",
            "G(mail)",
            "gmaiI",
            "g.m.a.i.l",
            "google mail",
            "gmal",
        ),
        "hotmail": ("hot mail", "h0tmail", "hot-mail", "hotmale"),
        "yahoo": ("ya hoo", "yah00", "y a h o o"),
        "outlook": ("out look", "0utlook", "out-look"),
    }.get(it.name, (" ".join(it.name), f"{it.name[:3]}({it.name[3:]})", it.name.replace("o", "0")))
    tail = rng.choice(("", f".{it.tld}", f" dot {it.tld}", f" {it.tld}"))
    return f"{it.local}{rng.choice((' at ', '@', ' @ ', '(at)', ' AT '))}{rng.choice(hidden)}{tail}"


def _email_letters(rng: random.Random, it: Address) -> str:
    return " ".join(f"{it.local}@{it.name}.{it.tld}")


def _email_swapped_sign(rng: random.Random, it: Address) -> str:
    sign = rng.choice(("#", "*", "&", "(a)", "[a]", "(@)", "{@}", "[@]", "%", "_@_"))
    dot = rng.choice((".", ".", "(.)", "[.]", " . "))
    hint = (
        f" ({rng.choice(('replace', 'swap', 'change'))} {sign} with the at sign)"
        if sign in "#*&%"
        else ""
    )
    return f"{it.local}{sign}{it.name}{dot}{it.tld}{hint}"


def _email_dashes(rng: random.Random, it: Address) -> str:
    return f"{it.local}-at-{it.name}-dot-{it.tld}".replace(".", "-dot-")


def _email_caps(rng: random.Random, it: Address) -> str:
    at = rng.choice(("AT", " AT ", "(AT)"))
    dot = rng.choice(("DOT", " DOT ", "(DOT)"))
    return f"{it.local}{at}{it.name}{dot}{it.tld.upper()}"


def _email_two_parts(rng: random.Random, it: Address) -> str:
    first = rng.choice(("the first part is", "before the at it is", "username", "user"))
    second = rng.choice(("and it is a", "then", "and the domain is", "account with"))
    tail = f" dot {it.tld}" if rng.random() < 0.5 else ""
    return f"{first} {it.local} {second} {it.name}{tail}"


EMAIL_TRAINED: dict[str, tuple[Hide, float]] = {
    "plain": (_email_plain, 8),
    "spaces": (_email_spaced, 5),
    "at and dot in words": (_email_words, 9),
    "at in words": (_email_at_only, 4),
    "dot in words": (_email_dot_only, 2),
    "no ending": (_email_no_tld, 4),
    "broken provider": (_email_broken_provider, 4),
    "letter by letter": (_email_letters, 1.5),
    "another sign": (_email_swapped_sign, 3),
    "dashes": (_email_dashes, 1.5),
    "capitals": (_email_caps, 2),
    "in two parts": (_email_two_parts, 1.5),
}
EMAIL_PLAIN: tuple[str, ...] = ("plain",)


def _email_arroba(rng: random.Random, it: Address) -> str:
    at, dot = rng.choice(
        (
            ("arroba", "punto"),
            ("arobase", "point"),
            ("chiocciola", "punto"),
            ("klammeraffe", "punkt"),
        )
    )
    return f"{it.local} {at} {it.name} {dot} {it.tld}"


def _email_symbols(rng: random.Random, it: Address) -> str:
    at = rng.choice(("✉", "📧", "ⓐ", "＠", "﹫", "🌀"))
    dot = rng.choice(("•", "。", "．", "·", "▪"))
    return f"{it.local}{at}{it.name}{dot}{it.tld}"


def _email_backwards(rng: random.Random, it: Address) -> str:
    return f"{it.local}@{it.name}.{it.tld}"[::-1] + rng.choice(
        (" (backwards)", " - mirror it", " <- reversed")
    )


def _email_swirl(rng: random.Random, it: Address) -> str:
    at = rng.choice(("a-in-a-circle", "little snail sign", "curly a", "commercial at", "&commat;"))
    dot = rng.choice(("period", "full stop", "&period;", "point"))
    return f"{it.local} {at} {it.name} {dot} {it.tld}"


def _email_glued(rng: random.Random, it: Address) -> str:
    return f"{it.local}at{it.name}dot{it.tld}"


EMAIL_UNSEEN: dict[str, tuple[Hide, float]] = {
    "foreign words": (_email_arroba, 1),
    "symbols": (_email_symbols, 1),
    "backwards": (_email_backwards, 1),
    "signs described": (_email_swirl, 1),
    "words glued": (_email_glued, 1),
}


def _www(rng: random.Random) -> str:
    return rng.choice(("www.", "www.", "", "", "", "http://", "https://www.", "https://"))


def _site_plain(rng: random.Random, it: Address) -> str:
    name = f"{_www(rng)}{it.name}.{it.tld}{it.path}"
    roll = rng.random()
    return name.upper() if roll < 0.05 else name.capitalize() if roll < 0.15 else name


def _site_words(rng: random.Random, it: Address) -> str:
    dot = _dot(rng)
    head = rng.choice(("", "", "", f"www {dot} ", "www "))
    return f"{head}{it.name} {dot} {it.tld.replace('.', f' {dot} ')}{it.path}"


def _site_spaces(rng: random.Random, it: Address) -> str:
    head = rng.choice(("", "", "www . ", "www. ", "www "))
    dot = rng.choice((" . ", ". ", " .", " , ", "  "))
    return f"{head}{it.name}{dot}{it.tld}"


def _site_bracket(rng: random.Random, it: Address) -> str:
    dot = rng.choice(("(.)", "[.]", "{.}", "(dot)", "[dot]", "<dot>", "-dot-", "*dot*", "_dot_"))
    return f"{rng.choice(('', 'www' + dot))}{it.name}{dot}{it.tld}"


def _site_letters(rng: random.Random, it: Address) -> str:
    text = f"{it.name}.{it.tld}"
    return " ".join(f"www.{text}" if rng.random() < 0.4 else text)


def _site_comma(rng: random.Random, it: Address) -> str:
    head = rng.choice(("www,", "", "www-"))
    return f"{head}{it.name}{rng.choice(',_-*/;')}{it.tld}"


def _site_zero(rng: random.Random, it: Address) -> str:
    dot = rng.choice((" d0t ", ".", "(d0t)", " . "))
    return f"{it.name}{dot}{it.tld.replace('o', '0') if 'o' in it.tld else it.tld}"


def _site_described(rng: random.Random, it: Address) -> str:
    tie = rng.choice((" and it ends in ", ", ending with ", " with a ", " plus "))
    return f"{it.name}{tie}{it.tld}"


def _site_split(rng: random.Random, it: Address) -> str:
    cut = max(1, len(it.name) // 2)
    return f"{it.name[:cut]} {it.name[cut:]} {rng.choice(('.', 'dot ', '. '))}{it.tld}"


SITE_TRAINED: dict[str, tuple[Hide, float]] = {
    "plain": (_site_plain, 14),
    "dot in words": (_site_words, 8),
    "spaces": (_site_spaces, 5),
    "brackets": (_site_bracket, 4),
    "letter by letter": (_site_letters, 1.5),
    "another sign": (_site_comma, 2),
    "zero for o": (_site_zero, 1.5),
    "ending described": (_site_described, 1.5),
    "split": (_site_split, 2),
}
SITE_PLAIN: tuple[str, ...] = ("plain",)


def _site_foreign(rng: random.Random, it: Address) -> str:
    dot = rng.choice(("punto", "point", "punkt", "full stop", "period", "ponto"))
    return f"{rng.choice(('', f'www {dot} '))}{it.name} {dot} {it.tld}"


def _site_symbols(rng: random.Random, it: Address) -> str:
    dot = rng.choice(("•", "。", "·", "․", "%2E", "⋅", "●", "．"))
    return f"{rng.choice(('', 'www' + dot))}{it.name}{dot}{it.tld}"


def _site_backwards(rng: random.Random, it: Address) -> str:
    return f"{it.name}.{it.tld}"[::-1] + rng.choice(
        (" (read backwards)", " reversed", " spelled the other way round")
    )


def _site_glued(rng: random.Random, it: Address) -> str:
    return f"{rng.choice(('', 'wwwdot'))}{it.name}dot{it.tld}"


def _site_wide(rng: random.Random, it: Address) -> str:
    text = f"{it.name}.{it.tld}"
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)


SITE_UNSEEN: dict[str, tuple[Hide, float]] = {
    "foreign words": (_site_foreign, 1),
    "symbols": (_site_symbols, 1),
    "backwards": (_site_backwards, 1),
    "words glued": (_site_glued, 1),
    "full-width": (_site_wide, 1),
}

Mark = Callable[[random.Random, str], str]


def _handle_at(rng: random.Random, handle: str) -> str:
    return "@" + handle


def _handle_bare(rng: random.Random, handle: str) -> str:
    return handle


def _handle_words(rng: random.Random, handle: str) -> str:
    return rng.choice(("at ", "(at)", "[at] ", "@ ", "AT ")) + handle


def _handle_spelled(rng: random.Random, handle: str) -> str:
    return rng.choice(("", "@", "at ")) + handle.replace("_", " underscore ").replace(".", " dot ")


def _handle_spaced(rng: random.Random, handle: str) -> str:
    return rng.choice(("", "@ ")) + rng.choice((" ", "-", ".")).join(handle)


def _handle_quoted(rng: random.Random, handle: str) -> str:
    left, right = rng.choice(
        (("'", "'"), ('"', '"'), ("(", ")"), ("*", "*"), ("[", "]"), ("«", "»"))
    )
    return f"{left}{handle}{right}"


HANDLE_TRAINED: dict[str, tuple[Mark, float]] = {
    "at sign": (_handle_at, 8),
    "bare": (_handle_bare, 6),
    "at in words": (_handle_words, 3),
    "signs spelled out": (_handle_spelled, 2),
    "letter by letter": (_handle_spaced, 1),
    "quoted": (_handle_quoted, 3),
}
HANDLE_PLAIN: tuple[str, ...] = ("at sign", "bare")


def _handle_arroba(rng: random.Random, handle: str) -> str:
    return rng.choice(("arroba ", "＠", "ⓐ ", "a-with-a-tail ")) + handle


def _handle_backwards(rng: random.Random, handle: str) -> str:
    return handle[::-1] + rng.choice((" (backwards)", " reversed", " - mirror it"))


def _handle_leet(rng: random.Random, handle: str) -> str:
    table = str.maketrans({"a": "4", "e": "3", "i": "1", "o": "0", "s": "5"})
    return "@" + handle.translate(table)


def _handle_wide(rng: random.Random, handle: str) -> str:
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in handle)


HANDLE_UNSEEN: dict[str, tuple[Mark, float]] = {
    "foreign at": (_handle_arroba, 1),
    "backwards": (_handle_backwards, 1),
    "figures for letters": (_handle_leet, 1),
    "full-width": (_handle_wide, 1),
}
