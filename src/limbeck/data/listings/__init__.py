"""The listing generator: vacation-rental descriptions with and without a leaked contact.

In: a split, a seed, perhaps real descriptions to carry the leaks. Out: labelled `Example` values.
Neighbours: `data.readers` reads files of labelled texts; the forge trains on either.
"""

from limbeck.data.listings.carriers import screen, split_carriers
from limbeck.data.listings.compose import (
    LABELS,
    SPLITS,
    Example,
    Split,
    compose_long,
    fictionalise,
    generate,
)
from limbeck.data.listings.fictional import real_contacts, scrub

__all__ = [
    "LABELS",
    "SPLITS",
    "Example",
    "Split",
    "compose_long",
    "fictionalise",
    "generate",
    "real_contacts",
    "screen",
    "scrub",
    "split_carriers",
]
