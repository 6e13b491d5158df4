"""What all pipelines share: options, the shapes of inputs, cutting, batches."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from limbeck.errors import InputError
from limbeck.pipeline.batching import run
from limbeck.pipeline.steps import F32, Asked, Steps, follow
from limbeck.spec import Task
from limbeck.text import Encoded, Tokenizer, check_text

if TYPE_CHECKING:
    from limbeck.runtimes import Model

# Texts that are tokenised, sorted by length and computed before the next ones: enough to sort
# well, few enough that a long list needs little memory at a time.
_CHUNK_TEXTS = 512
# From an iterator fewer are taken: whoever feeds it may be waiting for the first answers.
_STREAM_TEXTS = 64


def check_integer(name: str, value: object, lowest: int) -> None:
    """Raises InputError where an option is no integer, or a smaller one."""
    if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
        raise InputError(f"{name} must be an integer from {lowest}, found {value!r}")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One input: a text, or a pair, with its place among the inputs for error messages."""

    position: int
    text: str
    pair: str | None = None


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of every pipeline, given when it is built or with a call.

    truncation: True (or "longest_first") cuts what is longer than max_length; False (or
        "do_not_truncate") refuses what is longer than the model's positions.
    max_length: where texts are cut, special tokens included; None for the model's own maximum.
    batch_size: most texts in one batch; None: no bound beside max_batch_tokens.
    max_batch_tokens: most tokens in one batch; a longer text is a batch of its own. It bounds the
        memory that hidden states take.
    padding: accepted because calls written for transformers give it; nothing is ever padded.
    """

    truncation: bool | str = True
    max_length: int | None = None
    batch_size: int | None = None
    max_batch_tokens: int = 4096
    padding: bool | str = False

    def __post_init__(self) -> None:
        if self.truncation not in (True, False, "longest_first", "do_not_truncate"):
            raise InputError(
                "truncation must be True, False, 'longest_first' or 'do_not_truncate', "
                f"found {self.truncation!r}"
            )
        if self.padding not in (True, False, "longest", "do_not_pad"):
            raise InputError(f"padding must be True or False, found {self.padding!r}")
        for name in ("max_length", "batch_size", "max_batch_tokens", "stride"):
            value = getattr(self, name, None)
            lowest = 0 if name == "stride" else 1
            if value is None and name != "max_batch_tokens":
                continue
            check_integer(name, value, lowest)
        # Options also come out of JSON, where "no" would pass for true.
        for one in fields(self):
            value = getattr(self, one.name)
            if one.type == "bool" and not isinstance(value, bool):
                raise InputError(f"{one.name} must be True or False, found {value!r}")

    @property
    def cuts(self) -> bool:
        return self.truncation in (True, "longest_first")

    def updated(self, changes: Mapping[str, Any], task: Task) -> Self:
        """These options with changes.

        Raises:
            InputError: an unknown option or a value that it cannot have.
        """
        known = [one.name for one in fields(self)]
        unknown = [name for name in changes if name not in known]
        if unknown:
            close = difflib.get_close_matches(str(unknown[0]), known, n=1)
            meant = f"did you mean {close[0]!r}? " if close else ""
            raise InputError(
                f"{task} has no option {', '.join(map(repr, unknown))}; {meant}"
                f"options: {', '.join(sorted(known))}"
            )
        return replace(self, **changes) if changes else self


OptionsT = TypeVar("OptionsT", bound=Options)


class Pipeline(ABC, Generic[OptionsT]):
    """A model and its default options. Safe to call from many threads at once.

    Called with a list it returns a list, with an iterator (a generator, an open file) a lazy
    iterator of answers in the same order. The answers do not depend on what else is in the list.
    """

    task: ClassVar[Task]
    options_type: ClassVar[type[Options]]

    def __init__(self, model: Model, options: OptionsT) -> None:
        """Use `limbeck.pipeline`.

        Raises:
            InputError: the model is made for another task.
        """
        self.model = model
        self.options = options
        self.check_model()

    @classmethod
    def parse_options(cls, options: Mapping[str, Any]) -> Any:
        """Options of this task by name; raises InputError for those it does not have."""
        return cls.options_type().updated(options, cls.task)

    def check_model(self) -> None:
        made_for = self.model.spec.task.task
        if made_for != self.task:
            raise InputError(
                f"this model is loaded for {made_for}; use pipeline({made_for!r}, ...), or "
                f"give its path so that it is loaded for {self.task}"
            )

    def __call__(self, inputs: Any, **options: Any) -> Any:
        chosen = self.options.updated(options, self.task)
        if isinstance(inputs, list | tuple):
            return self._collect(self._answers(inputs, chosen))
        if isinstance(inputs, Iterator):
            return self._stream(inputs, chosen)
        return self._answers([inputs], chosen)[0]

    def _collect(self, answers: list[Any]) -> Any:
        """The answer to a list of inputs."""
        return answers

    def _stream(self, inputs: Iterator[Any], options: OptionsT) -> Iterator[Any]:
        size = options.batch_size or _STREAM_TEXTS
        position = 0
        while rows := list(islice(inputs, size)):
            yield from self._answers(rows, options, first=position)
            position += len(rows)

    def _answers(self, inputs: Sequence[Any], options: OptionsT, *, first: int = 0) -> list[Any]:
        items = [self._item(value, first + offset) for offset, value in enumerate(inputs)]
        return [
            answer
            for start in range(0, len(items), _CHUNK_TEXTS)
            for answer in follow(
                self._steps(items[start : start + _CHUNK_TEXTS], options),
                lambda asked: self._run(asked, options),
            )
        ]

    def steps(self, inputs: Sequence[Any], *, first: int = 0, **options: Any) -> Steps[list[Any]]:
        """The way to the answers of some inputs, one each; the model's work is the caller's.

        Args:
            first: the place of the first input among the caller's, for error messages.

        Raises:
            InputError: at once for a bad option or input; while they are followed, for what shows
                when texts are tokenised.
        """
        return self.steps_under(self.options.updated(options, self.task), inputs, first=first)

    def steps_under(
        self, chosen: OptionsT, inputs: Sequence[Any], *, first: int = 0
    ) -> Steps[list[Any]]:
        """`steps` under options that are checked already, of this pipeline's `options.updated`."""
        items = [self._item(value, first + offset) for offset, value in enumerate(inputs)]
        return self._steps(items, chosen)

    def _item(self, value: Any, position: int) -> Item:
        """One input, checked. Raises InputError naming its position."""
        return Item(position=position, text=check_text(value, f"text {position}"))

    @abstractmethod
    def _steps(self, items: Sequence[Item], options: OptionsT) -> Steps[list[Any]]:
        """The way to the answers to some items, in their order."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self.model.tokenizer()

    def _max_tokens(self, options: OptionsT) -> int:
        """Where texts are cut. Raises InputError for more than the model has positions for."""
        limit = self.model.spec.encoder.max_tokens
        if options.max_length is None:
            return min(self.model.spec.task.max_tokens, limit)
        if options.max_length > limit:
            raise InputError(
                f"max_length {options.max_length} is more than the {limit} tokens that this "
                "model has positions for"
            )
        return options.max_length

    def _encode(self, items: Sequence[Item], options: OptionsT) -> list[Encoded]:
        """Tokenise and cut.

        Raises:
            InputError: with truncation off, a sequence is longer than the model's positions.
        """
        tokenizer = self.tokenizer
        maximum = self._max_tokens(options) if options.cuts else None
        singles = [item for item in items if item.pair is None]
        pairs = [item for item in items if item.pair is not None]
        encoded = {
            item.position: one
            for item, one in zip(
                singles,
                tokenizer.encode([item.text for item in singles], max_tokens=maximum),
                strict=True,
            )
        }
        if pairs:
            second = [item.pair for item in pairs if item.pair is not None]
            both = tokenizer.encode([item.text for item in pairs], second, max_tokens=maximum)
            encoded |= {item.position: one for item, one in zip(pairs, both, strict=True)}
        limit = self.model.spec.encoder.max_tokens
        for item in items:
            if len(encoded[item.position]) > limit:
                raise InputError(
                    f"text {item.position} has {len(encoded[item.position])} tokens, and the model "
                    f"has positions for {limit}; leave truncation on"
                    + (", or read it whole with window=True" if hasattr(options, "window") else "")
                )
        return [encoded[item.position] for item in items]

    def _run(self, asked: Asked, options: OptionsT) -> list[F32]:
        return run(
            self.model,
            asked.encoded,
            output=asked.output,
            batch_size=options.batch_size,
            max_batch_tokens=options.max_batch_tokens,
        )
