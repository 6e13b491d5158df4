"""The `limbeck` program: one file a command, each imported when it is called and not before.

In: arguments and standard input. Out: answers on standard output, messages on standard error, an
exit code. Neighbours: everything below; nothing imports the cli.

How a command plugs in. `cli/NAME.py` has a function `command` with typer annotations; its docstring
is the help, and its first line the summary. `main.COMMANDS` has a row for it: the name and the same
summary, so that `limbeck --help` imports no command file (a test compares the two). Heavy imports
(torch, numpy, the engine) stand inside `command` or in modules that it imports when it runs.

What a command may count on:
- It raises errors of `limbeck.errors`. `main` prints the message and leaves with 2 for input that
  the user can mend (InputError, and typer's own usage errors), 1 for all others, 130 on Ctrl-C.
  A closed pipe (`limbeck predict ... | head`) ends quietly.
- Results go to standard output, all else to standard error: `messages.say(text)` for a line of
  progress, `messages.console()` for a rich console on standard error (rich is imported then).
- The docstring closes with a paragraph `Example: limbeck NAME ...`; help and tests show it.

Tests call `main.run(["predict", ...])`: the same process, and the exit code comes back.
"""
