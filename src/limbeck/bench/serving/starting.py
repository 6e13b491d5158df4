"""A contestant and a configuration -> a running server."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from limbeck.bench.serving import server
from limbeck.bench.serving.contestants import MAX_TOKENS, Config, Contestant, question
from limbeck.bench.serving.files import Files
from limbeck.bench.worker import interpreter, own_packages

_TEXT = "A quiet flat near the station, with a garden and a view of the river."
# What peers report home is switched off.
_QUIET = {
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}


def command(contestant: Contestant, config: Config, files: Files, port: int) -> list[str]:
    """The command line of a server.

    Raises:
        EngineError: its environment is not there.
    """
    model = files.paths[contestant.source]
    if contestant.ours:
        words = [str(server.limbeck_program()), "serve", str(model), "--port", str(port)]
        return [*words, "--threads", str(config.workers * config.threads)]
    words = [str(interpreter(contestant.environment).absolute()), "-m"]
    words += [f"limbeck.bench.serving.peers.{contestant.module}", "--port", str(port)]
    words += ["--model", str(model.absolute()), "--tokenizer", str(files.tokenizer.absolute())]
    words += ["--max-tokens", str(MAX_TOKENS)]
    for field, value in dataclasses.asdict(config).items():
        words += [f"--{field.replace('_', '-')}", str(value)]
    return words


def _variables(contestant: Contestant, config: Config, home: Path) -> dict[str, str]:
    if contestant.ours:
        return {}
    return {
        **_QUIET,
        "OMP_NUM_THREADS": str(config.threads),
        "TOKENIZERS_PARALLELISM": "false",
        "BENTOML_HOME": str(home / "bentoml"),
        **own_packages(),
    }


def probe(contestant: Contestant) -> server.Probe:
    """Our server says itself when it is ready; a peer is ready when it answers a text."""
    if contestant.ours:
        return server.Probe(method="GET", path="/health/ready")
    asked = question(contestant.dialect, _TEXT)
    return server.Probe(method="POST", path=asked.path, body=asked.body)


@contextlib.contextmanager
def started(
    contestant: Contestant, config: Config, files: Files, logs: Path
) -> Iterator[server.Running]:
    """The server while the block runs; its log is kept in `logs`.

    Raises:
        EngineError: no environment, or the server does not become ready.
    """
    port = server.free_port()
    home = logs.absolute()
    with server.running(
        command(contestant, config, files, port),
        port=port,
        probe=probe(contestant),
        variables=_variables(contestant, config, home),
        log=home / f"{contestant.name.replace(' ', '-')}.log",
    ) as found:
        yield found
