"""What happened in a run, one JSON object a line, on disk before the run goes on."""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.errors import TrainingError
from limbeck.forge import faults

FILE = "ledger.jsonl"


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Lines are only ever added, each in one write. A line that a killed run cut short stays, and
    is passed over by `read`."""

    path: Path

    def add(self, event: str, **fields: Any) -> None:
        """Append one event with the time.

        Raises:
            TrainingError: the file cannot be written.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"event": event, "time": now, **fields}, sort_keys=True).encode() + b"\n"
        try:
            faults.point("ledger")
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                size = os.fstat(handle).st_size
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    line = b"\n" + line
                if os.write(handle, line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise TrainingError(f"cannot write {self.path}: {error.strerror}") from error

    def read(self) -> list[Mapping[str, Any]]:
        """All whole lines, in order."""
        if not self.path.is_file():
            return []
        found: list[Mapping[str, Any]] = []
        for line in self.path.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict):
                    found.append(value)
        return found
