"""What stands in a template's braces: contacts of the host, contacts of others, numbers, names.

`{phone}`, `{email}`, `{site}`, `{handle}`, `{id}` are leaks; `{third phone}`, `{third site}` ...
belong to somebody else; `{3-15}` is a whole number; the other names are in `_VALUES` and words.txt.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Literal

from limbeck.data.listings import contacts, phones
from limbeck.data.listings.catalogue import by_kind, words
from limbeck.data.listings.grammar import Role, Segment, expand
from limbeck.errors import InputError

Notations = Literal["trained", "unseen"]

_FULL_ALPHABET = "ABCDEFGHJKLMNPRSTUVWXYZ"


def _pick(rng: random.Random, name: str) -> str:
    return rng.choice(words()[name])


def _choose(
    rng: random.Random,
    trained: Mapping[str, tuple[Any, float]],
    unseen: Mapping[str, tuple[Any, float]],
    plain: tuple[str, ...],
    third: bool,
    notations: Notations,
) -> str:
    if third:  # nobody has a reason to hide the number of a museum
        return rng.choice(plain)
    bank = unseen if notations == "unseen" else trained
    return rng.choices(list(bank), [weight for _, weight in bank.values()])[0]


def _render(
    rng: random.Random, bank: Mapping[str, tuple[Any, float]], name: str, value: Any, twin: Any
) -> tuple[str, str]:
    seed = rng.getrandbits(48)  # the twin must meet the same choices
    hide = bank[name][0]
    return hide(random.Random(seed), value), hide(random.Random(seed), twin)


def _phone(rng: random.Random, third: bool, notations: Notations) -> Segment:
    name = _choose(rng, phones.TRAINED, phones.UNSEEN, phones.PLAIN, third, notations)
    value, twin = phones.draw_number(rng)
    text, other = _render(rng, {**phones.TRAINED, **phones.UNSEEN}, name, value, twin)
    return Segment(text, other, "third" if third else "leak", name)


def _email(rng: random.Random, third: bool, notations: Notations) -> Segment:
    trained, unseen = contacts.EMAIL_TRAINED, contacts.EMAIL_UNSEEN
    name = _choose(rng, trained, unseen, contacts.EMAIL_PLAIN, third, notations)
    value, twin = contacts.draw_email(rng, third)
    text, other = _render(rng, {**trained, **unseen}, name, value, twin)
    return Segment(text, other, "third" if third else "leak", name)


def _site(rng: random.Random, third: bool, notations: Notations) -> Segment:
    trained, unseen = contacts.SITE_TRAINED, contacts.SITE_UNSEEN
    name = _choose(rng, trained, unseen, contacts.SITE_PLAIN, third, notations)
    value, twin = contacts.draw_site(rng, third)
    text, other = _render(rng, {**trained, **unseen}, name, value, twin)
    return Segment(text, other, "third" if third else "leak", name)


def _handle(rng: random.Random, third: bool, notations: Notations) -> Segment:
    trained, unseen = contacts.HANDLE_TRAINED, contacts.HANDLE_UNSEEN
    name = _choose(rng, trained, unseen, contacts.HANDLE_PLAIN, third, notations)
    value, twin = contacts.draw_handle(rng, third)
    text, other = _render(rng, {**trained, **unseen}, name, value, twin)
    return Segment(text, other, "third" if third else "leak", name)


_CONTACTS: dict[str, Callable[[random.Random, bool, Notations], Segment]] = {
    "phone": _phone,
    "email": _email,
    "site": _site,
    "handle": _handle,
}


def _value(text: str, twin: str | None = None, role: Role = "value", notation: str = "") -> Segment:
    return Segment(text, text if twin is None else twin, role, notation)


def _person(rng: random.Random) -> Segment:
    """A full name, which a reader is asked to search for: a leak."""
    first, last = _pick(rng, "first"), _pick(rng, "last")
    if rng.random() < 0.3:
        last = (contacts.invented(rng)).capitalize()
    twin = rng.choice(("Alex", "Sam", "Robin")) + " " + rng.choice(("Example", "Sample"))
    return _value(f"{first} {last}", twin, "leak", "name")


def _property(rng: random.Random) -> Segment:
    """The name under which the place is found elsewhere: a leak."""
    word, name = _pick(rng, "propword"), _pick(rng, "propname")
    roll = rng.random()
    if roll < 0.35:
        name = contacts.invented(rng).capitalize()
    text = f"{word} {name}" if rng.random() < 0.5 else f"{name} {word}"
    if rng.random() < 0.25:
        text += " " + rng.choice(("Boston", "Dublin", "Lisbon", "Vancouver", "Berlin", "downtown"))
    if roll > 0.85:
        text = text.lower()
    return _value(
        text, rng.choice(("Casa Example", "Example House", "Example Lodge")), "leak", "name"
    )


def _business(rng: random.Random) -> Segment:
    name = rng.choice(
        (
            f"{_pick(rng, 'bizname')} {_pick(rng, 'biznoun')}",
            f"The {_pick(rng, 'bizname')} {_pick(rng, 'biznoun')}",
            f"{_pick(rng, 'first')}'s",
            f"{_pick(rng, 'last')} & Sons",
            f"{contacts.invented(rng).capitalize()}",
            f"{_pick(rng, 'bizname')} {_pick(rng, 'netword').capitalize()}",
        )
    )
    return _value(name, rng.choice(("The Sample Spoon", "Example & Sons", "Sample's")))


def _app(rng: random.Random, notations: Notations) -> Segment:
    if notations == "unseen":
        return _value(_pick(rng, "appnew"), notation="app in disguise")
    return _value(_pick(rng, "appsly" if rng.random() < 0.3 else "app"))


def _letters(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(_FULL_ALPHABET) for _ in range(count))


def _figures(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(phones.DIGITS) for _ in range(count))


# Shapes of licence numbers: those that no phone has, and those that only the wording tells apart.
_MARKED = (
    *("STR-######", "STR######", "EH-#####-@", "LIC-#######", "##/####/######", "@@##-#####"),
    *("REG ######", "@@-#####-##", "C#########", "VT-######", "AT/######", "BL-##-######"),
    *("HST-###-#####", "#######/####", "No. ######", "STR-2#-######", "#####", "H@##-######"),
)
_UNMARKED = ("##-#####", "#########", "########", "0#-####-##", "### ### ###", "####-#####")


def _licence(rng: random.Random) -> Segment:
    """A licence or registration number; the twin counts 000...01 and so is nobody's."""
    return _numbered(rng, rng.choice(_MARKED if rng.random() < 0.75 else _UNMARKED))


def _marked_licence(rng: random.Random) -> Segment:
    return _numbered(rng, rng.choice(_MARKED))


def _numbered(rng: random.Random, shape: str) -> Segment:
    if rng.random() < 0.3:
        shape = shape.lower()
    count = shape.count("#")
    plain = iter(_figures(rng, count))
    quiet = iter(f"{rng.randrange(1, 99):0{count}d}" if count > 1 else "7")
    letters = iter(_letters(rng, shape.count("@")))
    twin_letters = iter("X" * shape.count("@"))
    text = "".join(
        next(plain) if sign == "#" else next(letters) if sign == "@" else sign for sign in shape
    )
    twin = "".join(
        next(quiet) if sign == "#" else next(twin_letters) if sign == "@" else sign
        for sign in shape
    )
    return _value(text, twin)


def _coordinates(rng: random.Random) -> Segment:
    places = rng.choice((4, 5, 6))
    lat, lon = rng.uniform(22, 60), rng.uniform(-124, 153)
    style = rng.randrange(3)
    twin_lat, twin_lon = rng.randint(1, 9), rng.randint(1, 9)
    if style == 0:
        twin = f"{0.0001 * twin_lat:.{places}f}, {0.0001 * twin_lon:.{places}f}"
        return _value(f"{lat:.{places}f}, {lon:.{places}f}", twin)
    if style == 1:
        west = "E" if lon > 0 else "W"
        minutes, seconds = rng.randint(0, 59), rng.uniform(0, 60)
        text = (
            f"{int(lat)}°{minutes}'{seconds:.1f}\"N {int(abs(lon))}°{minutes}'{seconds:.1f}\"{west}"
        )
        return _value(text, f"0°0'{twin_lat}\"N 0°0'{twin_lon}\"E")
    twin = f"lat 0.000{twin_lat} long 0.000{twin_lon}"
    return _value(f"lat {lat:.{places}f} long {lon:.{places}f}", twin)


_CURRENCIES = ("euros", "EUR", "dollars", "USD", "CAD", "AUD", "HKD", "pounds")


def _price(rng: random.Random) -> Segment:
    amount = rng.choice((rng.randint(2, 60), rng.randint(60, 400), rng.randint(400, 6000)))
    sign = rng.choice("$$$$€€££")
    shown = f"{amount:,}" if rng.random() < 0.5 else str(amount)
    cents = rng.choice(("", "", "", ".00", ".50", f".{rng.randint(10, 99)}"))
    return _value(
        rng.choice(
            (
                f"{sign}{shown}{cents}",
                f"{sign}{shown}",
                f"{sign} {shown}",
                f"{shown} {rng.choice(_CURRENCIES)}",
                f"{shown}{sign}",
            )
        )
    )


def _year(rng: random.Random) -> Segment:
    return _value(str(rng.choice((rng.randint(1690, 1990), rng.randint(1990, 2026)))))


def _clock(rng: random.Random) -> Segment:
    hour, minute = rng.randint(1, 12), rng.choice(("00", "00", "00", "30", "15", "45"))
    half = rng.choice(("am", "pm", "AM", "PM", " am", " pm", " a.m.", " p.m."))
    return _value(
        rng.choice(
            (
                f"{hour}{half}",
                f"{hour}:{minute}{half}",
                f"{rng.randint(0, 23):02d}:{minute}",
                f"{hour}.{minute}{half}",
                f"{rng.randint(0, 23)}h{minute}",
            )
        )
    )


def _date(rng: random.Random) -> Segment:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(2012, 2026)
    name = _pick(rng, "month")
    return _value(
        rng.choice(
            (
                f"{name} {day}",
                f"{day} {name}",
                f"{name} {day}, {year}",
                f"{month}/{day}/{year}",
                f"{day:02d}.{month:02d}.{year}",
                f"{year}-{month:02d}-{day:02d}",
                f"{month}/{day}",
                f"{day}/{month}/{year % 100:02d}",
                f"{_pick(rng, 'monthshort')} {day}",
                f"{name} {year}",
            )
        )
    )


def _buses(rng: random.Random) -> Segment:
    lines = [
        str(rng.randint(1, rng.choice((20, 99, 399)))) + rng.choice(("", "", "", "", "A", "X", "E"))
        for _ in range(rng.randint(1, 7))
    ]
    joint = rng.choice((", ", ", ", " / ", "/", " & ", ", #"))
    text = joint.join(lines)
    if len(lines) > 1 and rng.random() < 0.5:
        text = joint.join(lines[:-1]) + rng.choice((" and ", " or ", " & ")) + lines[-1]
    twin = joint.join(str(number) for number in range(1, min(3, len(lines)) + 1))
    return _value(text, twin if sum(map(str.isdigit, text)) > 6 else None)


def _code(rng: random.Random) -> Segment:
    digits = _figures(rng, rng.choice((3, 4, 4, 4, 5, 6)))
    return _value(rng.choice((digits, digits, digits, f"{digits}#", f"#{digits}", f"*{digits}#")))


def _password(rng: random.Random) -> Segment:
    word, made = _pick(rng, "domainword"), contacts.invented(rng)
    number = rng.randint(1, 9999)
    return _value(
        rng.choice(
            (
                f"{word}{number}",
                f"{word.upper()}{made}{number}",
                f"{made}!{number}",
                f"{word}_{made}",
                f"{word}-{made}-{rng.randint(1, 9)}",
            )
        )
    )


def _zip(rng: random.Random) -> Segment:
    digits = _figures(rng, 5)
    return _value(
        rng.choice(
            (
                digits,
                digits,
                f"{_letters(rng, 1)}{rng.randint(1, 9)}{_letters(rng, 1)} 4{_letters(rng, 2)}",
                f"D{rng.randint(1, 24):02d}",
                f"EH{rng.randint(1, 17)} {rng.randint(1, 9)}{_letters(rng, 2)}",
            )
        )
    )


def _address(rng: random.Random) -> Segment:
    return _value(
        f"{rng.choice((rng.randint(1, 200), rng.randint(200, 3000)))} {_pick(rng, 'street')}"
    )


def _size(rng: random.Random) -> Segment:
    feet, metres = rng.randint(150, 4200), rng.randint(14, 380)
    return _value(
        rng.choice(
            (
                f"{feet} sq ft",
                f"{feet:,} square feet",
                f"{feet} sqft",
                f"{feet}sf",
                f"{metres} m2",
                f"{metres} m²",
                f"{metres} sqm",
                f"{metres} square metres",
                f"{metres} sq. m",
                f"{metres} quadratmeter",
            )
        )
    )


def _measure(rng: random.Random) -> Segment:
    return _value(
        rng.choice(
            (
                f"{rng.uniform(2, 9):.1f}m x {rng.uniform(2, 9):.1f}m",
                f"{rng.randint(6, 30)}' x {rng.randint(6, 30)}'",
                f"{rng.randint(80, 200)}x{rng.randint(190, 220)} cm",
                f"{rng.randint(6, 20)} by {rng.randint(6, 30)} feet",
                f"{rng.randint(8, 30)} x {rng.randint(8, 30)} ft",
            )
        )
    )


_MINUTES = ("minutes", "mins", "min", "minute walk", "min drive")
_MILES = ("miles", "mi", "km", "kilometres", "mile")


def _distance(rng: random.Random) -> Segment:
    return _value(
        rng.choice(
            (
                f"{rng.randint(2, 95)} {rng.choice(_MINUTES)}",
                f"{rng.uniform(0.1, 30):.1f} {rng.choice(_MILES)}",
                f"{rng.randint(2, 12)}-{rng.randint(13, 30)} minutes",
                f"{rng.randint(50, 950)} {rng.choice(('m', 'metres', 'meters', 'yards', 'feet'))}",
                f"{rng.randint(1, 12)} blocks",
                f"{rng.choice(('two', 'three', 'five', 'ten', 'fifteen', 'twenty'))} minutes",
            )
        )
    )


def _flight(rng: random.Random) -> Segment:
    return _value(f"{_letters(rng, 2)}{rng.randint(10, 9999)}")


def _hours(rng: random.Random) -> Segment:
    return _value(
        rng.choice(
            (
                f"{rng.randint(6, 11)}am-{rng.randint(2, 11)}pm",
                f"{rng.randint(6, 11):02d}:00-{rng.randint(14, 23)}:00",
                f"{rng.randint(6, 11)}:30am to {rng.randint(5, 11)}:30pm",
                f"{rng.randint(6, 11)} to {rng.randint(12, 23)}",
            )
        )
    )


def _emergency(rng: random.Random) -> Segment:
    return _value(
        rng.choice(("911", "911", "112", "999", "000", "9-1-1", "311", "211", "101", "111"))
    )


def _babble(rng: random.Random) -> Segment:
    """Some words out of a training carrier's sentence, cut anywhere: wording that says nothing.

    It teaches what a number's own shape tells, where the words around it do not help.
    """
    sentences = [family for kind in by_kind("carrier", "train").values() for family in kind]
    drawn = expand(rng.choice(sentences).parsed, rng, filler("trained"))
    said = "".join(segment.text for segment in drawn).rstrip(".!?").split()
    count = rng.randint(1, 6)
    at = rng.randrange(max(1, len(said) - count))
    return _value(" ".join(said[at : at + count]).lower())


_VALUES: dict[str, Callable[[random.Random], Segment]] = {
    "person": _person,
    "property": _property,
    "business": _business,
    "licence": _licence,
    "marked licence": _marked_licence,
    "coordinates": _coordinates,
    "price": _price,
    "year": _year,
    "clock": _clock,
    "date": _date,
    "buses": _buses,
    "code": _code,
    "password": _password,
    "zip": _zip,
    "address": _address,
    "size": _size,
    "measure": _measure,
    "distance": _distance,
    "flight": _flight,
    "hours": _hours,
    "emergency": _emergency,
    "babble": _babble,
}


def known(slot: str) -> bool:
    """Whether templates may use this slot."""
    low, dash, high = slot.partition("-")
    return (
        slot in _VALUES
        or slot in ("app", "id")
        or slot.removeprefix("third ") in _CONTACTS
        or (bool(dash) and low.isdigit() and high.isdigit() and int(low) <= int(high))
        or slot in words()
    )


def filler(notations: Notations) -> Callable[[str, random.Random], Segment]:
    """The function that fills slots, with the trained or the unseen notations for contacts.

    Raises:
        InputError: (from the function) the slot is not known.
    """

    def fill(slot: str, rng: random.Random) -> Segment:
        if slot in _CONTACTS:
            return _CONTACTS[slot](rng, False, notations)
        if slot.startswith("third "):
            return _CONTACTS[slot.removeprefix("third ")](rng, True, notations)
        if slot == "id":  # a messenger account: a number more often than a name
            return (_phone if rng.random() < 0.6 else _handle)(rng, False, notations)
        if slot == "app":
            return _app(rng, notations)
        if slot in _VALUES:
            return _VALUES[slot](rng)
        low, dash, high = slot.partition("-")
        if dash and low.isdigit() and high.isdigit():
            return _value(str(rng.randint(int(low), int(high))))
        if slot in words():
            return _value(_pick(rng, slot))
        raise InputError(f"no slot is called {slot!r}")

    return fill
