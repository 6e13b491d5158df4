"""Data sets of the Hugging Face hub, by the `datasets` library: `hub:OWNER/NAME[/CONFIG][:SPLIT]`.

A path in place of the name (`hub:/path/to/folder:train`) is read by the same library, without a
network: a folder of CSV, JSONL or Parquet files, or one that `save_to_disk` wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.data.readers.row import Columns, Raw
from limbeck.errors import InputError, MissingExtraError

_PREFIX = "hub:"
_FORM = "hub:OWNER/NAME[/CONFIG][:SPLIT], such as hub:nyu-mll/glue/sst2:train"


@dataclass(frozen=True, kw_only=True)
class HubName:
    """repo: OWNER/NAME, a NAME without an owner, or a folder."""

    repo: str
    config: str | None = None
    split: str | None = None

    @property
    def is_folder(self) -> bool:
        return self.repo.startswith(("/", ".", "~"))


def is_hub_name(path: str | Path) -> bool:
    """Whether a data file's name asks for the hub."""
    return str(path).startswith(_PREFIX)


def parse(name: str) -> HubName:
    """The parts of a name.

    Raises:
        InputError: it is not of the form.
    """
    rest, colon, split = name.removeprefix(_PREFIX).rpartition(":")
    if not colon:
        rest, split = split, ""
    if rest.startswith(("/", ".", "~")) and not (colon and not split):
        return HubName(repo=rest, split=split or None)
    parts = rest.split("/")
    if not all(parts) or len(parts) > 3 or (colon and not split) or ":" in rest:
        raise InputError(f"{name}: a data set of the hub is named {_FORM}")
    return HubName(
        repo="/".join(parts[:2]),
        config=parts[2] if len(parts) == 3 else None,
        split=split or None,
    )


def read_hub(name: str, wanted: Columns) -> tuple[Columns, Iterator[Raw]]:
    """The settled columns, and the rows, numbered from 1; class numbers become their names.

    Raises:
        InputError: no such data set, configuration, split or column, or the hub is out of reach.
        MissingExtraError: datasets is not installed.
    """
    asked = parse(name)
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("datasets", "hub") from None
    table = _load(datasets, asked, name)
    columns = wanted.resolve(list(table.column_names), name)
    assert columns.text is not None
    needed = [columns.text, columns.pair, columns.label, *columns.keep]
    table = table.select_columns(list(dict.fromkeys(one for one in needed if one is not None)))
    return columns, _rows(table, _namers(datasets, table.features))


def _load(datasets: Any, asked: HubName, name: str) -> Any:
    """One split as a table."""
    try:
        if asked.is_folder:
            folder = Path(asked.repo).expanduser()
            if not folder.is_dir():
                raise InputError(f"{name}: no directory {folder}")
            if any((folder / one).is_file() for one in ("dataset_dict.json", "state.json")):
                return _saved(datasets.load_from_disk(str(folder)), asked, name)
            return _downloaded(datasets, str(folder), None, asked.split, name)
        try:
            return _downloaded(datasets, asked.repo, asked.config, asked.split, name)
        except datasets.exceptions.DatasetNotFoundError:
            # names without an owner, such as glue, have the configuration behind the stroke
            owner, stroke, config = asked.repo.partition("/")
            if not stroke or asked.config is not None:
                raise
            return _downloaded(datasets, owner, config, asked.split, name)
    except InputError:
        raise
    except Exception as error:  # the library and the hub's client raise types of several libraries
        lines = str(error).strip().splitlines()
        raise InputError(
            f"{name}: the datasets library cannot read it: "
            f"{lines[0] if lines else type(error).__name__}"
        ) from error


def _downloaded(datasets: Any, repo: str, config: str | None, split: str | None, name: str) -> Any:
    known = datasets.get_dataset_split_names(repo, config)
    return datasets.load_dataset(repo, config, split=_split(split, known, name))


def _saved(found: Any, asked: HubName, name: str) -> Any:
    if isinstance(found, Mapping):
        return found[_split(asked.split, list(found), name)]
    if asked.split is not None:
        raise InputError(f"{name}: the folder holds one table without splits; leave out the split")
    return found


def _split(split: str | None, known: list[str], name: str) -> str:
    """The split, if it is there; where none is named, the only one.

    Raises:
        InputError: it is not, or there are several.
    """
    if split is None and len(known) == 1:
        return known[0]
    if split is None or split not in known:
        said = "name a split" if split is None else f"no split {split!r}"
        raise InputError(f"{name}: {said}; there are: {', '.join(known)}")
    return split


def _namers(datasets: Any, features: Mapping[str, Any]) -> dict[str, Any]:
    """By column the feature that knows the names of class numbers, alone or in lists."""
    found = {}
    for column, feature in features.items():
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, datasets.ClassLabel):
            found[column] = inner
    return found


def _rows(table: Any, namers: Mapping[str, Any]) -> Iterator[Raw]:
    for number, values in enumerate(table, start=1):
        try:
            yield Raw(
                number,
                {
                    column: _named(value, namers[column]) if column in namers else value
                    for column, value in values.items()
                },
            )
        except ValueError as error:
            yield Raw(number, None, f"a class number without a name: {error}")


def _named(value: Any, feature: Any) -> Any:
    if isinstance(value, list):
        return [_named(one, feature) for one in value]
    if value is None or value == -1:  # the hub's mark of a row without a label
        return None
    return feature.int2str(value)
