"""limbeck profile: where the time of a forward pass goes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from limbeck.engine import Profile


def command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="An artifact, a Hugging Face directory, or a hub name."
        ),
    ],
    batch: Annotated[
        str, typer.Option(help="Sequences x tokens, such as 8x128, of random token ids.")
    ] = "8x128",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or int8.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Default: the CPUs that this process may use.")
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="Passes; the one of median time is shown.")
    ] = 9,
    trace: Annotated[
        Path | None,
        typer.Option(help="Write that pass for chrome://tracing or ui.perfetto.dev."),
    ] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Write one JSON object instead of a table.")
    ] = False,
) -> None:
    """Show where the time of a forward pass goes.

    For each op: busy time over all threads, its share, and, for products of matrices, operations a
    second beside what this machine reaches with registers alone, measured in the same run.

    Example: limbeck profile ./demo --batch 8x128

    Example: limbeck profile ./demo --batch 1x512 --threads 1 --trace pass.json
    """
    import numpy as np

    import limbeck
    from limbeck.batch import pack
    from limbeck.engine import tuning
    from limbeck.errors import InputError
    from limbeck.runtimes.own import OwnModel

    shape = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", batch)
    if shape is None:
        raise InputError(f"--batch must be like 8x128 (sequences x tokens), found {batch!r}")
    sequences, tokens = int(shape[1]), int(shape[2])
    loaded = limbeck.load(model, precision=precision, threads=threads)
    assert isinstance(loaded, OwnModel)
    encoder = loaded.spec.encoder
    if tokens > encoder.max_tokens:
        raise InputError(f"the model's positions carry {encoder.max_tokens} tokens, not {tokens}")
    ids = np.random.default_rng(0).integers(0, encoder.vocab, (sequences, tokens), np.int32)
    packed = pack([row.tolist() for row in ids])
    loaded.forward(packed, output="hidden" if loaded.spec.task.head is None else "logits")
    passes = sorted((loaded.profile(packed) for _ in range(rounds)), key=lambda each: each.wall_ms)
    middle = passes[len(passes) // 2]
    peak = None
    if middle.isa != "reference":
        peak = max(tuning.peak(middle.isa, middle.precision, 0.1) for _ in range(3)) / 1e9
    if trace is not None:
        _write(trace, middle)
    if json_output:
        typer.echo(json.dumps(_document(middle, batch, peak)))
        return
    typer.echo(
        f"{model}: {batch}, {middle.precision}, {middle.isa}, {middle.threads} threads: "
        f"{middle.wall_ms:.2f} ms (of {rounds} passes the middle one; "
        f"{passes[0].wall_ms:.2f} .. {passes[-1].wall_ms:.2f})"
    )
    typer.echo(f"{'op':<12}{'calls':>7}{'busy ms':>10}{'share':>8}{'GOP/s':>9}{'of peak':>9}")
    for each in middle.by_op():
        speed = "" if each.gops is None else f"{each.gops:.0f}"
        share = "" if each.gops is None or peak is None else f"{each.gops / peak:.0%}"
        typer.echo(
            f"{each.op:<12}{each.calls:>7}{each.ms:>10.3f}{each.share:>8.1%}{speed:>9}{share:>9}"
        )
    if peak is not None:
        typer.echo(f"peak of one thread, {middle.precision}: {peak:.0f} GOP/s")


def _document(profile: Profile, batch: str, peak: float | None) -> dict[str, Any]:
    return {
        "batch": batch,
        "precision": profile.precision,
        "isa": profile.isa,
        "threads": profile.threads,
        "wall_ms": profile.wall_ms,
        "peak_gops": peak,
        "ops": [
            {
                "op": each.op,
                "calls": each.calls,
                "busy_ms": each.ms,
                "share": each.share,
                "gops": each.gops,
            }
            for each in profile.by_op()
        ],
    }


def _write(path: Path, profile: Profile) -> None:
    from limbeck.cli.written import write_whole

    write_whole(path, json.dumps(profile.chrome_trace()))
