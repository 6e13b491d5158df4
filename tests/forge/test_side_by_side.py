"""Pieces of work in processes of their own: order, messages, and every way in which one can end."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from waiting import until

pytest.importorskip("torch")
pytest.importorskip("rich")

from limbeck.errors import InputError, TrainingError
from limbeck.forge import progress, side_by_side
from limbeck.forge.side_by_side import Piece, Tell

pytestmark = pytest.mark.torch


def speak(words: str, tell: Tell) -> None:
    tell(os.getpid())
    tell(words)


def hidden(tell: Tell) -> None:
    tell((progress._hidden, signal.getsignal(signal.SIGINT) is signal.SIG_IGN))


def refuse(tell: Tell) -> None:
    raise InputError("no such rows")


def die(tell: Tell) -> None:
    os._exit(7)


def stumble(tell: Tell) -> None:
    raise ZeroDivisionError("a bug of our own")


def wait(file: Path, tell: Tell) -> None:
    file.write_text(str(os.getpid()))
    time.sleep(600)


def meet(own: Path, other: Path, tell: Tell) -> None:
    """Ends only where another piece runs at the same time."""
    own.touch()
    until(other.exists, "the other piece")


def piece(name: str, *needs: str) -> Piece:
    return Piece(name=name, work=functools.partial(speak, name), needs=frozenset(needs))


def alive(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_each_piece_runs_behind_those_that_it_needs() -> None:
    heard: list[tuple[str, Any]] = []
    pieces = [piece("last", "second", "first"), piece("second", "first"), piece("first")]
    side_by_side.run(pieces, 3, lambda name, told: heard.append((name, told)))
    assert [name for name, _ in heard] == [
        name for name in ("first", "second", "last") for _ in range(2)
    ]
    assert [told for _, told in heard[1::2]] == ["first", "second", "last"]
    processes = {told for _, told in heard[::2]}
    assert len(processes) == 3
    assert os.getpid() not in processes
    assert multiprocessing.active_children() == []
    side_by_side.run([], 2, lambda name, told: None)


def test_so_many_at_once_and_no_more(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    both = [
        Piece(name="one", work=functools.partial(meet, one, two)),
        Piece(name="two", work=functools.partial(meet, two, one)),
    ]
    side_by_side.run(both, 2, lambda name, told: None)
    assert one.exists()
    assert two.exists()
    heard: list[str] = []
    three = [piece(name) for name in ("a", "b", "c")]
    side_by_side.run(three, 1, lambda name, told: heard.append(name))
    assert heard == ["a", "a", "b", "b", "c", "c"]


def test_a_piece_shows_no_bar_and_leaves_interrupts_to_its_parent() -> None:
    heard: list[Any] = []
    side_by_side.run([Piece(name="x", work=hidden)], 1, lambda name, told: heard.append(told))
    assert heard == [(True, True)]
    assert not progress._hidden


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [
        (refuse, InputError, "no such rows"),
        (die, TrainingError, r"of bad died \(exit code 7\).* fewer take less memory"),
        (stumble, TrainingError, r"of bad died \(exit code 1\)"),
    ],
)
def test_one_that_fails_stops_the_others(
    work: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "pid"
    pieces = [
        Piece(name="long", work=functools.partial(wait, file)),
        Piece(name="bad", work=work),
        piece("never", "bad"),
    ]
    heard: list[str] = []
    with pytest.raises(error, match=message):
        side_by_side.run(pieces, 2, lambda name, told: heard.append(name))
    assert heard == []
    assert multiprocessing.active_children() == []


def test_what_the_listener_raises_stops_all(tmp_path: Path) -> None:
    file = tmp_path / "pid"

    def hear(name: str, told: Any) -> None:
        until(lambda: file.is_file() and file.read_text(), "the long piece")
        raise KeyboardInterrupt

    pieces = [Piece(name="long", work=functools.partial(wait, file)), piece("short")]
    with pytest.raises(KeyboardInterrupt):
        side_by_side.run(pieces, 2, hear)
    assert not alive(int(file.read_text()))


def test_pieces_that_wait_for_one_another() -> None:
    with pytest.raises(ValueError, match=r"ready for \['a', 'b'\]"):
        side_by_side.run([piece("a", "b"), piece("b", "a")], 2, lambda name, told: None)


def test_pieces_go_with_the_process_that_started_them(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    script = tmp_path / "start.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import functools, pathlib, sys
            sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
            import test_side_by_side as here
            from limbeck.forge import side_by_side

            if __name__ == "__main__":
                work = functools.partial(here.wait, pathlib.Path({str(file)!r}))
                side_by_side.run([side_by_side.Piece(name="long", work=work)], 1, print)
            """
        )
    )
    process = subprocess.Popen([sys.executable, str(script)])
    try:
        until(lambda: file.is_file() and file.read_text(), "the piece", timeout_s=120)
        pid = int(file.read_text())
        assert alive(pid)
    finally:
        process.kill()
        process.wait()
    until(lambda: not alive(pid), "the end of the piece")
