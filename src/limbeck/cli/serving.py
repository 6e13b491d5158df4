"""From the command line to a server that runs."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.cli.messages import say
from limbeck.errors import InputError, MissingExtraError

if TYPE_CHECKING:
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


def serve(options: Options, *, check: bool, worker: str | None) -> None:
    """Run the server until it is told to end.

    Raises:
        LimbeckError: settings that cannot be used, a port in use, a model that cannot be loaded.
    """
    try:
        import httptools  # noqa: F401
        import orjson  # noqa: F401
        import uvicorn  # noqa: F401
        import uvloop

        import limbeck.serve.settings  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "uvicorn", "serve") from None

    def read() -> Settings:
        return _settings(options)

    settings = read()
    if check:
        from limbeck.serve.protocols import registry

        registry.check(settings.server.protocols)
        say(f"{_source(options)}: all right")
        return
    _warn(settings)
    from limbeck.serve.http.server import address_of, listen

    server = settings.server
    listening = listen(server.host, server.port)
    admin = None
    if settings.admin is not None:
        try:
            admin = listen(settings.admin.host, settings.admin.port)
        except InputError:
            listening.close()
            raise
    address = address_of(listening)

    def ready() -> None:
        names = ", ".join(dict.fromkeys(model.name for model in settings.models)) or "no models"
        docs = f", docs http://{address}/docs" if server.docs else ""
        threads = server.threads or _cpus()
        say(f"limbeck: ready on http://{address}{docs}, {names}, {threads} threads")

    uvloop.run(_run(settings, read, listening, admin, ready))


async def _run(
    settings: Settings,
    read: Callable[[], Settings],
    listening: socket.socket,
    admin: socket.socket | None,
    ready: Callable[[], None],
) -> None:
    from limbeck.serve.app import App

    await App(settings, reread=read).run(listening, admin, on_ready=ready)


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


def _source(options: Options) -> str:
    return "the command line" if options.config is None else str(options.config)


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
