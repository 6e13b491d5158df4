"""Writes the file that `precomputed` reads: as texts come, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from limbeck import __version__
from limbeck.errors import InputError
from limbeck.serve.cache.keys import KEY_BYTES, Keys, canonical
from limbeck.serve.cache.precomputed import FORMAT, header, is_ours
from limbeck.whole_files import whole_file

F32 = npt.NDArray[np.float32]

_MOST = 2**32 - 1  # rows are counted in 32 bits


class _NothingError(Exception):
    """There is nothing to write."""


class Writing:
    """Takes vectors as they are computed. In memory are 20 bytes of each text and its place."""

    def __init__(self, file: IO[bytes], metadata: Mapping[str, str], width: int) -> None:
        """Use `writing`."""
        self._file = file
        self._metadata = dict(metadata)
        self._width = width
        # Room for the largest header; what it says is known at the end.
        self._start = len(header({**metadata, "sha256": "0" * 64}, _MOST, width))
        self._digest = hashlib.sha256()
        self._keys: list[bytes] = []
        self._known: set[bytes] = set()
        self._tokens: list[int] = []
        file.seek(self._start)

    def __contains__(self, key: bytes) -> bool:
        return key in self._known

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, keys: Sequence[bytes], vectors: Sequence[F32], tokens: Sequence[int]) -> None:
        """Vectors [C] float32 of texts with these keys, each key once.

        Raises:
            InputError: a vector holds NaN or infinity.
        """
        for key, vector, count in zip(keys, vectors, tokens, strict=True):
            assert len(key) == KEY_BYTES
            assert key not in self._known
            assert vector.shape == (self._width,)
            if not np.isfinite(vector).all():
                raise InputError(
                    "the model gives NaN or infinity for a text; verify it with: limbeck verify"
                )
            self._put(vector.astype("<f4").tobytes())
            self._known.add(key)
            self._keys.append(key)
            self._tokens.append(count)

    def close(self) -> None:
        """Write what comes behind the vectors, and the header."""
        count = len(self._keys)
        rows = sorted(range(count), key=self._keys.__getitem__)
        self._put(np.array(self._tokens, dtype="<u4").tobytes())
        self._put(np.array(rows, dtype="<u4").tobytes())
        for row in rows:
            self._put(self._keys[row])
        metadata = {**self._metadata, "sha256": self._digest.hexdigest()}
        self._file.seek(0)
        self._file.write(header(metadata, count, self._width, size=self._start))

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)


@contextlib.contextmanager
def writing(
    path: Path, keys: Keys, width: int, options: Mapping[str, Any] | None = None
) -> Iterator[Writing]:
    """A file for the vectors [width] of a model under options; it has its name when the block ends
    well, and where nothing was added there is none.

    Raises:
        InputError: the file cannot be written, or the path has something else already.
    """
    check_target(path)
    metadata = {
        "format": FORMAT,
        "limbeck": __version__,
        "computed": canonical(keys.computed).decode("ascii"),
        "options": canonical(keys.options(options)).decode("ascii"),
    }
    try:
        with whole_file(path) as file:
            new = Writing(file, metadata, width)
            yield new
            if not len(new):
                raise _NothingError
            new.close()
    except _NothingError:
        pass
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}; what was there is untouched"
        ) from None


def check_target(path: Path) -> None:
    """Whether a file may be written here; call it before hours of work.

    Raises:
        InputError: something else has the name, or the place cannot be written to.
    """
    if path.is_dir():
        raise InputError(f"{path} is a directory; name a file")
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no directory {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"{path.parent} may not be written to; name another place")
    if path.exists() and not is_ours(path):
        raise InputError(f"{path} is there, and limbeck embed did not write it; name another file")
