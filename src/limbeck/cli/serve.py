"""limbeck serve: a model, or many, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]", help="An artifact, a Hugging Face directory, or a hub name."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file: models, keys, limits, cache, rules.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; default: 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Default: 8080; 0 takes a free one, and says which.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What MODEL is called; default: as its directory.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, bf16 or int8.")] = None,
    runtime: Annotated[str | None, typer.Option(help="What computes; default: limbeck.")] = None,
    device: Annotated[str | None, typer.Option(help="Where it computes; default: cpu.")] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="In all; default: the CPUs that this process may use."),
    ] = None,
    instances: Annotated[
        int | None,
        typer.Option(
            help="Batches computed side by side, each with its share of the threads; what is "
            "alone has all. Default: one a thread."
        ),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="Processes that listen on the port, each with its share.")
    ] = None,
    deadline_ms: Annotated[
        float | None, typer.Option(help="By when to answer where a request does not say.")
    ] = None,
    cache_mb: Annotated[
        float | None, typer.Option(help="Megabytes of answers to keep; 0 for none.")
    ] = None,
    admin_port: Annotated[
        int | None, typer.Option(help="Port of the admin interface; [admin] must hold its key.")
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="json or text.")] = None,
    new_key: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Print a new API key with its settings, and leave."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Look whether the configuration is right, and leave.")
    ] = False,
    worker: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> int:
    """Answer requests over HTTP: several protocols, before their deadlines.

    A line says when it is ready, and where its documentation is. SIGTERM ends it when all that was
    asked is answered; SIGHUP reads the configuration and changed models again. Every setting of the
    file can also be given as an environment variable, such as LIMBECK_SERVE_SERVER__PORT=8000.

    Example: limbeck serve ./demo

    Example: limbeck serve --config serve.toml --check
    """
    from limbeck.cli.serving import Options, make_key, serve, work

    if new_key is not None:
        make_key(new_key)
        return 0
    if worker is not None:
        return work(worker)
    return serve(
        Options(
            model=model,
            config=config,
            host=host,
            port=port,
            name=name,
            precision=precision,
            runtime=runtime,
            device=device,
            threads=threads,
            instances=instances,
            processes=processes,
            deadline_ms=deadline_ms,
            cache_mb=cache_mb,
            admin_port=admin_port,
            log_format=log_format,
        ),
        check=check,
    )
