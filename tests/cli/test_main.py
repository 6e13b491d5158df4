"""The program as a whole: help, lazy imports, exit codes, pipes, interruption."""

from __future__ import annotations

import ast
import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from limbeck import __version__
from limbeck.cli import main
from limbeck.errors import EngineError, InputError

COMMANDS = tuple(main.COMMANDS)
CLI = Path(inspect.getfile(main)).parent
HELP = Path(__file__).parent / "help"


def _docstring(name: str) -> str:
    tree = ast.parse((CLI / f"{name}.py").read_text())
    (found,) = (it for it in tree.body if isinstance(it, ast.FunctionDef) and it.name == "command")
    return ast.get_docstring(found) or ""


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_summary_and_an_example(name):
    text = _docstring(name)
    assert text.splitlines()[0] == main.COMMANDS[name]
    assert f"Example: limbeck {name}" in text


def test_help_names_every_command(capsys):
    assert main.run(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n  {name}" in shown
    assert "Example: " in shown


@pytest.mark.parametrize("name", ["predict", "compress", "prune", "inspect", "embed", "loadtest"])
def test_help_is_as_it_was(name, capsys, monkeypatch):
    """Golden files: run with LIMBECK_WRITE_GOLDEN=1 to write them anew."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERMINAL_WIDTH", "100")
    assert main.run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    golden = HELP / f"{name}.txt"
    if os.environ.get("LIMBECK_WRITE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(shown)
    # The marks for types and line widths differ between versions of typer; the words do not.
    assert _words(shown) == _words(golden.read_text())


def _words(text: str) -> list[str]:
    import re

    return re.findall(r"--?[a-z][\w-]*|[A-Za-z][a-z]{3,}", re.sub(r"<[^>]*>|[A-Z]{4,}", "", text))


def test_version(capsys):
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out == f"limbeck {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["predicct"], "predicct"),
        (["predict"], "MODEL"),
        (["predict", "x", "--no-such"], "--no-such"),
        (["predict", "x", "--batch-size", "many"], "--batch-size"),
        (["inspect"], "name a model"),
    ],
)
def test_usage_errors_leave_with_2(arguments, said, capsys):
    assert main.run(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert said in err
    assert "Traceback" not in err


def _replace(monkeypatch, body):
    import types

    module = types.ModuleType("limbeck.cli.predict")
    module.command = body
    monkeypatch.setitem(sys.modules, "limbeck.cli.predict", module)


@pytest.mark.parametrize(("error", "code"), [(InputError, 2), (EngineError, 1)])
def test_our_errors_are_messages(error, code, capsys, monkeypatch):
    def command() -> None:
        raise error("mend this so")

    _replace(monkeypatch, command)
    assert main.run(["predict"]) == code
    assert capsys.readouterr().err == "limbeck: mend this so\n"


def test_bugs_are_not_hidden(monkeypatch):
    def command() -> None:
        raise ZeroDivisionError

    _replace(monkeypatch, command)
    with pytest.raises(ZeroDivisionError):
        main.run(["predict"])


def test_interrupt_leaves_with_130(capsys, monkeypatch):
    def command() -> None:
        raise KeyboardInterrupt

    _replace(monkeypatch, command)
    assert main.run(["predict"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def _limbeck(*arguments: str, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "limbeck.cli.main", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell's background job ignores Ctrl-C, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def test_closed_pipe_is_no_failure(zoo):
    model = zoo("bert", "text-classification")
    process = _limbeck("predict", str(model), "--batch-size", "1")
    process.stdin.write(b"a text\n" * 3000)
    process.stdin.flush()
    assert process.stdout.readline()
    process.stdout.close()
    try:
        process.stdin.write(b"a text\n" * 100_000)
        process.stdin.close()
    except BrokenPipeError:
        pass
    errors = process.stderr.read().decode()
    assert process.wait(60) == 0, errors
    assert not errors


def test_ctrl_c_while_waiting_for_input(zoo):
    process = _limbeck("predict", str(zoo("bert", "text-classification")))
    process.stdin.write(b"a text\n")
    process.stdin.flush()
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert b"Traceback" not in process.stderr.read()
    process.stdin.close()


def test_help_and_predict_import_no_more_than_they_need():
    code = (
        "import sys\n"
        "from limbeck.cli import main\n"
        "assert main.run(['--help']) == 0\n"
        "heavy = {'torch', 'transformers', 'numpy', 'tokenizers', 'rich', 'pyarrow'}\n"
        "print(heavy & set(sys.modules), file=sys.stderr)\n"
        "assert main.run(['predict', '--help']) == 0\n"
        "print({'limbeck.cli.train', 'torch', 'rich'} & set(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\nset()\n"


def test_predict_needs_no_torch(zoo):
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from limbeck.cli import main\n"
        f"sys.exit(main.run(['predict', {str(zoo('bert', 'text-classification'))!r}, 'hello']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '"label"' in done.stdout
