"""From the command line to a server that runs."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.cli.messages import say
from limbeck.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from limbeck.serve.app import Ports
    from limbeck.serve.http.lifeline import Lifeline
    from limbeck.serve.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Options:
    """As given; None where nothing was."""

    model: str | None
    config: Path | None
    host: str | None
    port: int | None
    name: str | None
    precision: str | None
    runtime: str | None
    device: str | None
    threads: int | None
    instances: int | None
    processes: int | None
    deadline_ms: float | None
    cache_mb: float | None
    admin_port: int | None
    log_format: str | None


def make_key(name: str) -> None:
    """Print a new key, once, and what the configuration keeps of it."""
    from limbeck.serve.http.keys import new_key
    from limbeck.serve.settings import NAME_PATTERN

    if re.fullmatch(NAME_PATTERN, name) is None:
        raise InputError(f"{name!r} is no name of a key: letters, digits, '.', '_' and '-'")
    key, digest = new_key()
    print(f'# The key, shown this once: {key}\n[[keys]]\nname = "{name}"\nsha256 = "{digest}"')


def serve(options: Options, *, check: bool) -> int:
    """Run the server until it is told to end; the exit code.

    Raises:
        LimbeckError: settings that cannot be used, a port in use, a model that cannot be loaded.
    """
    _installed()
    settings = _settings(options)
    if check:
        from limbeck.serve.protocols import registry

        registry.check(settings.server.protocols)
        say(f"{options.config or 'the command line'}: all right")
        return 0
    # Until the loop listens to signals, one that asks for a reload must not end us.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _warn(settings)
    if settings.server.processes > 1:
        return _supervise(options, settings)
    with contextlib.ExitStack() as opened:
        ports = _ports(opened, settings)
        ready = _ready(settings, ports.requests, ports.admin)
        _run(settings, lambda: _settings(options), ports, ready, None)
    return 0


def work(payload: str) -> int:
    """Run one of several processes, as `_supervise` starts it; the exit code."""
    _installed()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    told = json.loads(payload)
    config = told["options"]["config"]
    options = Options(**{**told["options"], "config": None if config is None else Path(config)})
    number: int = told["number"]

    def read() -> Settings:
        settings = _settings(options)
        server = settings.server.model_copy(
            update={"threads": told["threads"], "port": told["port"]}
        )
        return settings.model_copy(update={"server": server})

    settings = read()
    from limbeck.serve.http.lifeline import Lifeline

    lifeline = Lifeline(told["lifeline"])
    with contextlib.ExitStack() as opened:
        ports = _ports(opened, settings, number=number, shared=True)
        _run(settings, read, ports, lambda: None, lifeline)
    return 0


def _ports(
    opened: contextlib.ExitStack, settings: Settings, *, number: int = 0, shared: bool = False
) -> Ports:
    """The ports of process `number`; that of requests may be shared with the others."""
    from limbeck.serve.app import Ports
    from limbeck.serve.http.server import listen

    def port(host: str, number: int, *, shared: bool = False) -> socket.socket:
        return opened.enter_context(listen(host, number, shared=shared))

    server, admin = settings.server, settings.admin
    return Ports(
        requests=port(server.host, server.port, shared=shared),
        admin=port(admin.host, admin.port + number) if admin else None,
        metrics=port(server.host, server.metrics_port + number) if server.metrics_port else None,
    )


def _supervise(options: Options, settings: Settings) -> int:
    from limbeck.serve.http.server import hold
    from limbeck.serve.http.supervisor import Supervisor, share

    server, limits = settings.server, settings.limits
    if settings.admin is not None and settings.admin.port == 0:
        raise InputError("admin.port must be given where there are several processes")
    threads = server.threads or _cpus()
    if threads < server.processes:
        say(f"limbeck: warning: {server.processes} processes share {threads} threads")
    given = {**asdict(options), "config": str(options.config) if options.config else None}
    with hold(server.host, server.port) as held:
        port = held.getsockname()[1]

        def command(number: int, lifeline: int) -> list[str]:
            told = {
                "options": given,
                "number": number,
                "port": port,
                "threads": share(threads, server.processes, number),
                "lifeline": lifeline,
            }
            return [sys.executable, "-m", "limbeck", "serve", "--worker", json.dumps(told)]

        return Supervisor(
            command,
            processes=server.processes,
            hung_s=server.hung_s,
            drain_s=limits.drain_grace_s + limits.drain_s,
            on_ready=_ready(settings, held),
            say=lambda text: say(f"limbeck: {text}"),
        ).run()


def _installed() -> None:
    try:
        import httptools  # noqa: F401
        import orjson  # noqa: F401
        import pydantic_settings  # noqa: F401
        import uvicorn  # noqa: F401
        import uvloop  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "uvicorn", "serve") from None


def _run(
    settings: Settings,
    read: Callable[[], Settings],
    ports: Ports,
    ready: Callable[[], None],
    lifeline: Lifeline | None,
) -> None:
    import uvloop

    from limbeck.serve.app import App

    async def run() -> None:
        await App(settings, reread=read).run(ports, on_ready=ready, lifeline=lifeline)

    uvloop.run(run())


def _ready(
    settings: Settings, listening: socket.socket, admin: socket.socket | None = None
) -> Callable[[], None]:
    from limbeck.serve.http.server import address_of

    server = settings.server
    address = address_of(listening)
    admin_address = f", admin http://{address_of(admin)}" if admin is not None else ""

    def ready() -> None:
        names = ", ".join(dict.fromkeys(model.name for model in settings.models))
        docs = f", docs http://{address}/docs" if server.docs else ""
        processes = f", {server.processes} processes" if server.processes > 1 else ""
        threads = server.threads or _cpus()
        listens = f"http://{address}{docs}{admin_address}"
        say(f"limbeck: ready on {listens}, {names}{processes}, {threads} threads")

    return ready


def _cpus() -> int:
    from limbeck.engine import available_cpus

    return available_cpus()


def _settings(options: Options) -> Settings:
    from limbeck.serve.load_settings import load_settings

    overrides: dict[str, Any] = {}

    def put(section: str, **given: Any) -> None:
        found = {key: value for key, value in given.items() if value is not None}
        if found:
            overrides[section] = found

    put(
        "server",
        host=options.host,
        port=options.port,
        processes=options.processes,
        threads=options.threads,
        instances=options.instances,
    )
    if options.cache_mb is not None:
        put("cache", size_bytes=int(options.cache_mb * (1 << 20)))
    put("log", format=options.log_format)
    put("admin", port=options.admin_port)
    model = _model(options)
    if model is not None:
        overrides["models"] = [model]
    settings = load_settings(options.config, overrides=overrides, environ=os.environ)
    if not settings.models:
        raise InputError(
            "nothing to serve: name a model, as in limbeck serve ./demo, or list [[models]] in a "
            "file that --config names"
        )
    return settings


def _model(options: Options) -> dict[str, Any] | None:
    given = {
        "name": options.name,
        "precision": options.precision,
        "runtime": options.runtime,
        "device": options.device,
        "deadline_ms": options.deadline_ms,
    }
    given = {key: value for key, value in given.items() if value is not None}
    if options.model is None:
        if given:
            option = "--" + next(iter(given)).replace("_", "-")
            raise InputError(f"{option} is for the MODEL of the command line; name one")
        return None
    if "name" not in given:
        path = Path(options.model)
        last = (path.resolve() if path.is_dir() else path).name
        given["name"] = re.sub(r"[^A-Za-z0-9._-]+", "-", last).lstrip("._-")[:128] or "model"
    return {**given, "path": options.model}


def _warn(settings: Settings) -> None:
    """Say what may not be meant."""
    if settings.keys:
        return
    try:
        loopback = ipaddress.ip_address(settings.server.host).is_loopback
    except ValueError:
        loopback = settings.server.host == "localhost"
    if not loopback:
        say(
            f"limbeck: warning: anybody who reaches {settings.server.host} may ask, for no keys "
            "are configured; limbeck serve --new-key NAME makes one"
        )
