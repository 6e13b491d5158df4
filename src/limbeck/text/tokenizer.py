"""One tokenizer, read-only after loading, shared by all threads.

It wraps a raw `tokenizers.Tokenizer`. The truncation and padding that a tokenizer file asks for are
dropped at load: all-MiniLM-L6-v2's file pads every text to 128 tokens and cuts it there. Nothing is
set on the raw tokenizer afterwards, because doing so per call is what breaks under threads.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tokenizers import Encoding
from tokenizers import Tokenizer as RawTokenizer

from limbeck.errors import InputError, ModelError
from limbeck.text.encoded import Columns, Encoded
from limbeck.text.precut import boundary_from, cuts_at_spaces
from limbeck.text.truncation import (
    longest_first,
    sentence_starts,
    sentence_window_ranges,
    window_ranges,
)
from limbeck.text.vocabulary import read_tokenizer_json

# Texts longer than this many characters for each wanted token are cut before tokenising. English
# runs at 4 to 6 characters a token, so the first try nearly always has enough tokens.
_CHARACTERS_PER_TOKEN = 8
# Below this length tokenising all of it takes under a few milliseconds.
_PRECUT_FROM_CHARACTERS = 8192
# What windows of a context share where nothing is asked for: as transformers chooses.
_SHARED_TOKENS = 128


def check_text(text: object, where: str) -> str:
    """Return `text` if it can be tokenised.

    Raises:
        InputError: not a str, or a str with a lone surrogate, which no encoding can carry.
    """
    if not isinstance(text, str):
        hint = "; decode it first, for example with .decode('utf-8')"
        raise InputError(
            f"{where} must be a str, found {type(text).__name__}"
            f"{hint if isinstance(text, bytes | bytearray) else ''}"
        )
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(
                f"{where} has a lone surrogate U+{ord(text[error.start]):04X} at character "
                f"{error.start}; it is no valid text: read the source as UTF-8, or replace it with "
                "text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')"
            ) from None
    return text


class Tokenizer:
    """Text -> `Encoded`, as transformers' fast tokenizers do it for `truncation=True`.

    Building the first one sets TOKENIZERS_PARALLELISM to "false" unless it is already set: threads
    belong to the engine. Safe to use from many threads at once; texts are tokenised with the GIL
    released.

    Raises:
        ModelError: the file is no tokenizer file.
    """

    def __init__(self, raw: RawTokenizer) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        truncation = raw.truncation
        # The one thing kept of the file's truncation: the end at which texts are cut.
        self.truncation_side: Literal["left", "right"] = (
            "left" if truncation is not None and truncation["direction"] == "left" else "right"
        )
        raw.no_truncation()
        raw.no_padding()
        self._raw = raw
        self._special = (raw.num_special_tokens_to_add(False), raw.num_special_tokens_to_add(True))
        self._cuts_at_spaces = cuts_at_spaces(raw)
        model = raw.model
        self.subword_prefix: str | None = getattr(model, "continuing_subword_prefix", None) or None
        self.unknown_id: int | None = None
        for token in (getattr(model, "unk_token", None), "<unk>", "[UNK]"):
            if token is not None and self.unknown_id is None:
                self.unknown_id = raw.token_to_id(token)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Tokenizer:
        """Read a tokenizer.json.

        Raises:
            ModelError: the file is absent, unreadable or no tokenizer file.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise ModelError(f"cannot read tokenizer {path}: {error.strerror}") from None
        return cls._from_bytes(data, str(path))

    @classmethod
    def from_bytes(cls, data: bytes) -> Tokenizer:
        """As `from_file`, from the bytes of a tokenizer.json."""
        return cls._from_bytes(data, "tokenizer.json")

    @classmethod
    def from_directory(cls, directory: str | os.PathLike[str]) -> Tokenizer:
        """Read the tokenizer of a model directory, from tokenizer.json or from vocab.txt."""
        return cls._from_bytes(read_tokenizer_json(Path(directory)), str(directory))

    @classmethod
    def _from_bytes(cls, data: bytes, where: str) -> Tokenizer:
        try:
            raw = RawTokenizer.from_buffer(data)
        except Exception as error:  # the library raises plain Exception
            raise ModelError(
                f"{where} is no tokenizer file that this version reads: {error}"
            ) from None
        return cls(raw)

    @property
    def vocab_size(self) -> int:
        """Number of token ids, added tokens included."""
        return self._raw.get_vocab_size(with_added_tokens=True)

    def same_tokens(self, other: Tokenizer) -> bool:
        """Whether both have the same token under every id."""
        if self is other:
            return True
        return self._raw.get_vocab() == other._raw.get_vocab()

    def special_tokens(self, *, pair: bool = False) -> int:
        """How many tokens are added around one text, or around a pair."""
        return self._special[pair]

    def token(self, token_id: int) -> str:
        """The vocabulary's entry for an id.

        Raises:
            InputError: no such id.
        """
        token: str | None = self._raw.id_to_token(token_id)
        if token is None:
            raise InputError(f"token id {token_id} is outside the tokenizer's vocabulary")
        return token

    def join(self, tokens: Sequence[str]) -> str:
        """Tokens as one readable string, as the tokenizer's decoder writes them."""
        decoder = self._raw.decoder
        if decoder is None:
            return " ".join(tokens)
        joined: str = decoder.decode(list(tokens))
        return joined

    def encode(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_tokens: int | None,
    ) -> list[Encoded]:
        """Tokenise texts, or pairs of texts, with the special tokens around them.

        Args:
            texts: B texts; an empty one gives the special tokens alone.
            pairs: B second texts, or None.
            max_tokens: longest sequence, special tokens included; longer ones lose tokens at the
                end ("longest_first" for pairs). None: nothing is cut.

        Raises:
            InputError: a text is no str or has a lone surrogate (the message says where), the
                lengths of texts and pairs differ, or max_tokens leaves no room for the special
                tokens.
        """
        if isinstance(texts, str) or isinstance(pairs, str):
            raise InputError("give a list of texts, not one str")
        for position, text in enumerate(texts):
            check_text(text, f"text {position}")
        if max_tokens is not None:
            self._check_room(max_tokens, pair=pairs is not None)
        if pairs is None:
            return self._encode_single(texts, max_tokens)
        if len(pairs) != len(texts):
            raise InputError(f"{len(texts)} texts but {len(pairs)} second texts")
        for position, text in enumerate(pairs):
            check_text(text, f"second text {position}")
        encodings = self._raw.encode_batch(list(zip(texts, pairs, strict=True)))
        return [self._cut_pair(encoding, max_tokens) for encoding in encodings]

    def windows(
        self, text: str, *, max_tokens: int, stride: int, at_sentences: bool = False
    ) -> list[Encoded]:
        """The whole text as windows of at most `max_tokens`, special tokens around each.

        Args:
            max_tokens: longest window, special tokens included.
            stride: tokens that neighbouring windows share (transformers' meaning of the word).
            at_sentences: begin and end windows where sentences do, as far as their lengths let it;
                neighbours then share whole sentences, in about `stride` tokens.

        Returns:
            At least one window; their order is that of the text.

        Raises:
            InputError: as `encode`, or a stride that makes no progress.
        """
        check_text(text, "text")
        self._check_room(max_tokens, pair=False)
        encoding = self._raw.encode_batch([text])[0]
        columns = Columns(encoding)
        lead, body_end = self._body(columns)
        room = max_tokens - self._special[0]
        if at_sentences:
            characters = [first for first, _ in columns.offsets[lead:body_end]]
            starts = sorted({bisect_left(characters, at) for at in sentence_starts(text)})
            ranges = sentence_window_ranges(body_end - lead, room, stride, starts)
        else:
            ranges = window_ranges(body_end - lead, room, stride)
        return [
            Encoded(
                columns,
                (
                    slice(0, lead),
                    slice(lead + start, lead + stop),
                    slice(body_end, len(columns)),
                ),
                truncated=False,
            )
            for start, stop in ranges
        ]

    def question_windows(
        self, question: str, context: str, *, max_tokens: int, stride: int | None
    ) -> list[Encoded]:
        """A question with its context, the context whole, in windows of at most `max_tokens`.

        The question stands before each window. Only the context is cut: transformers calls this
        truncation "only_second".

        Args:
            max_tokens: longest sequence, question and special tokens included.
            stride: tokens of the context that neighbouring windows share; None for 128, or half
                of a window where that is less; a question that leaves less room halves that.

        Raises:
            InputError: as `encode`; the question leaves no room for the context; or a stride that
                makes no progress in the room that it leaves.
        """
        check_text(question, "the question")
        check_text(context, "the context")
        self._check_room(max_tokens, pair=True)
        columns = Columns(self._raw.encode_batch([(question, context)])[0])
        if len(columns) <= max_tokens:
            return [Encoded(columns, None, truncated=False)]
        sequence_ids = columns.sequence_ids
        asked, given = sequence_ids.count(0), sequence_ids.count(1)
        room = max_tokens - self._special[1] - asked
        if room < 1:
            raise InputError(
                f"the question has {asked} tokens and leaves no room for its context in "
                f"{max_tokens}; ask it shorter, or raise max_seq_len"
            )
        begin = sequence_ids.index(1)
        shared = min(_SHARED_TOKENS, max_tokens // 2) if stride is None else stride
        if stride is None and shared >= room:  # a long question: transformers would give up
            shared = room // 2
        return [
            Encoded(
                columns,
                (
                    slice(0, begin),
                    slice(begin + start, begin + stop),
                    slice(begin + given, len(columns)),
                ),
                truncated=False,
            )
            for start, stop in window_ranges(given, room, shared)
        ]

    def _check_room(self, max_tokens: int, *, pair: bool) -> None:
        special = self._special[pair]
        if not isinstance(max_tokens, int) or isinstance(max_tokens, bool):
            raise InputError(f"the maximum length must be an integer, found {max_tokens!r}")
        if max_tokens < max(special, 1):
            raise InputError(
                f"a maximum length of {max_tokens} leaves no room for the "
                f"{special} special tokens of a {'pair' if pair else 'text'}"
            )

    def _encode_single(self, texts: Sequence[str], max_tokens: int | None) -> list[Encoded]:
        whole = list(texts)
        if max_tokens is not None and self._cuts_at_spaces and self.truncation_side == "right":
            room = max_tokens - self._special[0]
            threshold = max(_PRECUT_FROM_CHARACTERS, 2 * _CHARACTERS_PER_TOKEN * max_tokens)
            done: dict[int, Encoded] = {}
            for position, text in enumerate(whole):
                if len(text) > threshold:
                    cut = self._encode_cut(text, room)
                    if cut is not None:
                        done[position] = cut
            if done:
                rest = [text for position, text in enumerate(whole) if position not in done]
                encoded = iter(
                    [self._cut_single(one, max_tokens) for one in self._raw.encode_batch(rest)]
                )
                return [
                    done[position] if position in done else next(encoded)
                    for position in range(len(whole))
                ]
        return [self._cut_single(one, max_tokens) for one in self._raw.encode_batch(whole)]

    def _encode_cut(self, text: str, room: int) -> Encoded | None:
        """The first `room` tokens, from as short a start of the text as surely gives them.

        None where the text offers no place to cut, or has few tokens for its length.
        """
        characters = _CHARACTERS_PER_TOKEN * (room + 1)
        # Half is the last try worth making: whatever needs more is tokenised whole.
        while characters <= len(text) // 2:
            end = boundary_from(text, characters)
            if end is None or end > len(text) // 2:
                return None
            encoding = self._raw.encode_batch([text[:end]])[0]
            # One token more than wanted: those kept then lie wholly before the cut.
            if len(encoding) - self._special[0] > room:
                return self._cut_single(encoding, room + self._special[0])
            characters = 4 * max(characters, end)
        return None

    def _body(self, columns: Columns) -> tuple[int, int]:
        """Where the tokens of a single text begin and end between its special tokens."""
        special = columns.special
        lead = 0
        while lead < len(special) and special[lead]:
            lead += 1
        if lead == len(special):  # an empty text: any split will do
            return lead, lead
        end = len(special)
        while special[end - 1]:
            end -= 1
        return lead, end

    def _kept(self, start: int, stop: int, count: int) -> slice:
        """`count` of the tokens start .. stop - 1, cut at the tokenizer's truncation side."""
        if self.truncation_side == "left":
            return slice(stop - count, stop)
        return slice(start, start + count)

    def _cut_single(self, encoding: Encoding, max_tokens: int | None) -> Encoded:
        columns = Columns(encoding)
        if max_tokens is None or len(columns) <= max_tokens:
            return Encoded(columns, None, truncated=False)
        lead, end = self._body(columns)
        kept = (
            slice(0, lead),
            self._kept(lead, end, max_tokens - self._special[0]),
            slice(end, len(columns)),
        )
        return Encoded(columns, kept, truncated=True)

    def _cut_pair(self, encoding: Encoding, max_tokens: int | None) -> Encoded:
        columns = Columns(encoding)
        if max_tokens is None or len(columns) <= max_tokens:
            return Encoded(columns, None, truncated=False)
        sequence_ids = columns.sequence_ids
        counts = (sequence_ids.count(0), sequence_ids.count(1))
        keep = longest_first(*counts, max_tokens - self._special[1])
        kept = []
        position = 0
        for sequence in (0, 1):
            if counts[sequence]:
                start = sequence_ids.index(sequence)
                stop = start + counts[sequence]
                kept += [slice(position, start), self._kept(start, stop, keep[sequence])]
                position = stop
        kept.append(slice(position, len(columns)))
        return Encoded(columns, kept, truncated=True)
