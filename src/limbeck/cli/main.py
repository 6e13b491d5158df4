"""The entry point: finds the command, imports it alone, and turns errors into messages.

Exit codes: 0 done; 2 input or usage that the caller can mend; 3 a model lost more than it may; 130
interrupted; 1 anything else.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from limbeck import __version__
from limbeck.cli.messages import say
from limbeck.errors import GateError, InputError, LimbeckError

EXIT_FAILED = 1
EXIT_INPUT = 2
EXIT_GATE = 3
EXIT_INTERRUPTED = 130

# Name -> the first line of the command's docstring, here so that `limbeck --help` imports none.
COMMANDS: dict[str, str] = {
    "demo": "Find contact details leaked in listings: train, distil, quantise, measure.",
    "train": "Fine-tune an encoder to label texts, tag words, answer questions or embed sentences.",
    "distil": "Distil a trained model into a shallower or narrower one, or into another encoder.",
    "prune": "Take blocks out of a trained model while it learns from a teacher.",
    "compress": "Make a small, verified artifact: teacher, student, int8, each measured.",
    "students": "List shapes that a student can have, with size and speed on this CPU.",
    "qat": "Train a model under int8's rounding, so that it loses little when converted.",
    "quantize": "Convert a model to int8 and hold it against fp32 on labelled rows.",
    "convert": "Convert a model to an artifact that runs without torch, and verify it.",
    "verify": "Compare torch, the numpy oracle and the engine on golden inputs of many lengths.",
    "inspect": "Describe a model, or the lengths of texts in a file.",
    "evaluate": "Measure how good a model's answers are, on labelled rows.",
    "serve": "Answer requests over HTTP: several protocols, before their deadlines.",
    "predict": "Answer texts from arguments, a file or standard input.",
    "embed": "Compute the vectors of a file's texts beforehand, for cache.preload of a server.",
    "profile": "Show where the time of a forward pass goes.",
    "loadtest": "Send load to a server, open loop, and measure what it answers in time.",
    "bench": "Measure every kernel against the peak of this machine.",
    "tune": "Measure what each kernel costs here, for models loaded from now on.",
}


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.")
    ] = False,
) -> None:
    """BERT-class models on ordinary CPUs: distilled, quantised, verified, fast.

    Example: echo "what a lovely flat" | limbeck predict ./demo
    """
    if version:
        typer.echo(f"limbeck {__version__}")
        raise typer.Exit


class _PipeClosedError(Exception):
    """A BrokenPipeError under a name that typer does not know, or it would leave with 1."""


def _guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(command)
    def guarded(*positional: Any, **named: Any) -> Any:
        try:
            return command(*positional, **named)
        except BrokenPipeError:
            raise _PipeClosedError from None

    return guarded


def _unloaded(summary: str) -> Callable[[], None]:
    def command() -> None:
        raise AssertionError("a command that is called is imported before")

    command.__doc__ = summary
    return command


def application(named: str | None = None) -> typer.Typer:
    """The program with one command imported; of the others it knows name and summary."""
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        # Plain help: a golden file can hold it, and rich (50 ms) is imported by none but its users.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_root)
    for name, summary in COMMANDS.items():
        run: Callable[..., Any] = _unloaded(summary)
        if name == named:
            run = _guarded(importlib.import_module(f"limbeck.cli.{name}").command)
        app.command(name)(run)
    return app


def _named(arguments: Sequence[str]) -> str | None:
    """The command that is called: the first argument that is no option."""
    return next((argument for argument in arguments if not argument.startswith("-")), None)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return the exit code; errors are told on standard error."""
    try:
        code = application(_named(arguments))(
            args=list(arguments), prog_name="limbeck", standalone_mode=False
        )
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (BrokenPipeError, _PipeClosedError):
        return _closed_pipe()
    except InputError as error:
        say(f"limbeck: {error}")
        return EXIT_INPUT
    except GateError as error:
        say(f"limbeck: {error}")
        return EXIT_GATE
    except LimbeckError as error:
        say(f"limbeck: {error}")
        return EXIT_FAILED
    except (KeyboardInterrupt, typer.Abort):
        say("limbeck: interrupted")
        return EXIT_INTERRUPTED
    except Exception as error:
        show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
        if callable(show) and isinstance(code, int):  # typer's own: a usage error
            show()
            return code
        raise


def _closed_pipe() -> int:
    """The reader has left (`limbeck predict ... | head`): that is no failure.

    Standard output goes to the null device, or the interpreter's last flush would complain.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    return 0


def main() -> None:
    """What the `limbeck` script calls."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
