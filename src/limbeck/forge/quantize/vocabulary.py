"""A vocabulary cut down to what texts of one kind use: word embeddings are a third to a half of an
int8 model, and most of them are for words that never come.

Kept are special and added tokens, single characters, pieces that occur, and whatever single
characters cannot spell; a word whose piece is gone falls back on the longest pieces that are left,
as WordPiece splits (Wu et al. 2016, arXiv:1609.08144, section 4.1). Texts all of whose pieces were
kept get the same answers.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from limbeck import huggingface
from limbeck.errors import InputError, ModelError
from limbeck.forge.quantize.rewriting import rewritten
from limbeck.tensors import Tensor
from limbeck.text import Tokenizer, read_tokenizer_json
from limbeck.text.vocabulary import read_json

FILE = "vocabulary.json"
_CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class TrimReport:
    """What became of a vocabulary.

    entries: rows of the word table; mb: millions of bytes of it in int8 with its scales. changed:
    share of the tokens of held-out texts that belong to words which are split otherwise now; NaN
    without such texts. unknown: how many more of their tokens are unknown. kept: the ids that were
    kept, in order, as ranges such as 0-5,17: the new id is the place in that list.
    """

    entries_before: int
    entries: int
    mb_before: float
    mb: float
    changed: float
    unknown: int
    kept: str

    def as_dict(self) -> dict[str, Any]:
        found = asdict(self)
        return found | {"changed": None if self.changed != self.changed else self.changed}


def trim(
    source: Path,
    target: Path,
    texts: Iterable[str],
    *,
    keep_share: float = 1.0,
    held_out: Sequence[str] = (),
    task: str | None = None,
) -> TrimReport:
    """Write a model directory to `target` with the vocabulary of these texts.

    Args:
        keep_share: of all tokens of the texts, so many stay as they are: the rarest pieces go.
        held_out: other texts, to see on how many tokens they are split otherwise.

    Raises:
        InputError: no texts, or a share that is none.
        ModelError: the tokenizer is not a WordPiece one, or has ids that the word table lacks.
    """
    if not 0 < keep_share <= 1:
        raise InputError(f"keep_share must be in (0, 1], found {keep_share!r}")
    read = huggingface.read(source, task)
    folder = read.directory
    data = read_tokenizer_json(folder)
    settings: dict[str, Any] = json.loads(data)
    kind = (settings.get("model") or {}).get("type")
    if kind != "WordPiece":
        raise ModelError(
            f"{source} has a tokenizer of kind {kind}; vocabularies are trimmed of WordPiece ones "
            "alone: in the others each merge or score rests on the rest"
        )
    tokenizer = Tokenizer.from_bytes(data)
    words = read.weights["embeddings.word"]
    rows = words.shape[0]
    counts: Counter[int] = Counter()
    left = iter(texts)
    while some := list(islice(left, _CHUNK)):
        for row in tokenizer.encode(some, max_tokens=None):
            counts.update(row.ids)
    if not counts:
        raise InputError("a vocabulary is trimmed to texts, and there are none")
    kept = _kept(settings, read.config, counts, keep_share)
    if kept[-1] >= rows:
        raise ModelError(f"token {kept[-1]} of {source} has no row in its word table of {rows}")
    new = {old: place for place, old in enumerate(kept)}
    table = Tensor(shape=(len(kept), words.shape[1]), values=words.dense()[kept])
    rewritten(source, target, {"embeddings.word": table}, task)
    home = target / folder.relative_to(source)
    _write_tokenizer(folder, home, settings, new)
    config = {
        name: new[value] if _is_token(name, value, rows) else value
        for name, value in read_json(folder / "config.json").items()
    }
    _write_json(home / "config.json", config | {"vocab_size": len(kept)})
    changed, unknown = _differences(tokenizer, Tokenizer.from_directory(home), held_out)
    width = words.shape[1] + 4  # bytes of a row in int8, and its scale
    report = TrimReport(
        entries_before=rows,
        entries=len(kept),
        mb_before=rows * width / 1e6,
        mb=len(kept) * width / 1e6,
        changed=changed,
        unknown=unknown,
        kept=as_ranges(kept),
    )
    noted = report.as_dict() | {"tokenizer": hashlib.sha256(data).hexdigest()}
    _write_json(home / FILE, noted)
    return report


def as_ranges(ids: Sequence[int]) -> str:
    """Rising numbers, written short: 0, 1, 2, 7 is 0-2,7."""
    parts: list[list[int]] = []
    for one in ids:
        if parts and one == parts[-1][1] + 1:
            parts[-1][1] = one
        else:
            parts.append([one, one])
    return ",".join(f"{low}-{high}" if high > low else str(low) for low, high in parts)


def original_ids(kept: str) -> list[int]:
    """The ids of the whole vocabulary, by the ids of the trimmed one: what `as_ranges` wrote.

    Raises:
        InputError: it is no list of ranges.
    """
    found: list[int] = []
    try:
        for part in kept.split(","):
            low, _, high = part.partition("-")
            found += range(int(low), int(high or low) + 1)
    except ValueError:
        raise InputError(f"{kept[:40]!r} is no list of ids such as 0-5,17") from None
    return found


def _is_token(name: str, value: object, rows: int) -> bool:
    return name.endswith("_token_id") and type(value) is int and 0 <= value < rows


def _kept(
    settings: Mapping[str, Any], config: Mapping[str, Any], counts: Counter[int], share: float
) -> list[int]:
    """The ids that stay, rising."""
    vocabulary: dict[str, int] = settings["model"]["vocab"]
    prefix = settings["model"].get("continuing_subword_prefix", "##")
    specials = {int(one["id"]) for one in settings.get("added_tokens") or ()}
    unknown = vocabulary.get(settings["model"].get("unk_token", ""))
    specials |= set() if unknown is None else {unknown}
    size = max([*vocabulary.values(), *specials]) + 1
    specials |= {value for name, value in config.items() if _is_token(name, value, size)}

    def bare(piece: str) -> str:
        return piece.removeprefix(prefix)

    def spelled(piece: str) -> bool:
        inner = bare(piece)
        first = inner[:1] if inner == piece else prefix + inner[:1]
        return first in vocabulary and all(prefix + one in vocabulary for one in inner[1:])

    kept = specials | {
        place for piece, place in vocabulary.items() if len(bare(piece)) == 1 or not spelled(piece)
    }
    total, reached = sum(counts.values()), 0
    # the most frequent first; equally frequent ones in the vocabulary's order
    for place, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        if reached >= share * total:
            break
        kept.add(place)
        reached += count
    return sorted(kept)


def _write_tokenizer(
    folder: Path, home: Path, settings: dict[str, Any], new: Mapping[int, int]
) -> None:
    vocabulary: dict[str, int] = settings["model"]["vocab"]
    settings["model"]["vocab"] = {
        piece: new[old] for piece, old in sorted(vocabulary.items(), key=_second) if old in new
    }
    for token in settings.get("added_tokens") or ():
        token["id"] = new[int(token["id"])]
    settings["padding"] = None
    settings["post_processor"] = _renumbered(settings.get("post_processor"), new)
    _write_json(home / "tokenizer.json", settings)
    if (folder / "vocab.txt").is_file():
        pieces = [*settings["model"]["vocab"]]
        (home / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    known = read_json(folder / "tokenizer_config.json")
    if isinstance(known.get("added_tokens_decoder"), dict):
        known["added_tokens_decoder"] = {
            str(new[int(old)]): token
            for old, token in known["added_tokens_decoder"].items()
            if int(old) in new
        }
        _write_json(home / "tokenizer_config.json", known)
    added = read_json(folder / "added_tokens.json")
    if added:
        _write_json(home / "added_tokens.json", {name: new[old] for name, old in added.items()})


def _second(item: tuple[str, int]) -> int:
    return item[1]


def _renumbered(processor: Any, new: Mapping[int, int]) -> Any:
    """A post-processor with other ids: a template's, BERT's and RoBERTa's, or several in a row."""
    if not isinstance(processor, dict):
        return processor
    made = dict(processor)
    if "processors" in made:
        made["processors"] = [_renumbered(one, new) for one in made["processors"]]
    if isinstance(made.get("special_tokens"), dict):
        made["special_tokens"] = {
            name: {**one, "ids": [new[old] for old in one["ids"]]}
            for name, one in made["special_tokens"].items()
        }
    for name in ("sep", "cls"):
        if isinstance(made.get(name), list):
            made[name] = [made[name][0], new[made[name][1]]]
    return made


def _differences(before: Tokenizer, after: Tokenizer, texts: Sequence[str]) -> tuple[float, int]:
    """(share of tokens in words that are split otherwise, further unknown tokens)."""
    tokens = other = unknown = 0
    for start in range(0, len(texts), _CHUNK):
        some = list(texts[start : start + _CHUNK])
        for one, two in zip(
            before.encode(some, max_tokens=None), after.encode(some, max_tokens=None), strict=True
        ):
            first, second = _words(before, one), _words(after, two)
            tokens += sum(len(pieces) for pieces in first.values())
            other += sum(
                len(pieces) for word, pieces in first.items() if second.get(word) != pieces
            )
            unknown += sum(place == after.unknown_id for place in two.ids)
            unknown -= sum(place == before.unknown_id for place in one.ids)
    return (other / tokens if tokens else float("nan")), unknown


def _words(tokenizer: Tokenizer, row: Any) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for place, word in zip(row.ids, row.word_ids, strict=True):
        if word is not None:
            found.setdefault(word, []).append(tokenizer.token(place))
    return found


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Into a directory that has no name yet: nobody reads a half of it."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
