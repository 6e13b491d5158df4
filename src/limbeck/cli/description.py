"""inspect MODEL: spec, size, kernels, lineage and measurements, as tables or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import typer

_NAME_WIDTH = 14


def describe_model(name: str, *, precision: str, as_json: bool) -> None:
    """Print what a model is and how it would run on this machine.

    Raises:
        LimbeckError: it cannot be loaded.
    """
    from limbeck import artifact
    from limbeck.runtimes import load

    model = load(name, precision=precision)
    facts: dict[str, Any] = {"spec": asdict(model.spec), "engine": model.describe()}
    if artifact.is_artifact(model.source):
        with artifact.read(model.source, verify=False) as stored:
            facts["lineage"] = stored.lineage
            facts["size_bytes"] = stored.size_bytes
        facts["measured"] = artifact.read_measured(model.source)
    typer.echo(json.dumps(facts) if as_json else "\n".join(_lines(facts)))


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    encoder, task, engine = facts["spec"]["encoder"], facts["spec"]["task"], facts["engine"]
    yield _fact("source", engine["source"])
    yield _fact("digest", engine["digest"])
    if "size_bytes" in facts:
        yield _fact("artifact", f"{facts['size_bytes'] / 1e6:.1f} MB")
    yield _fact(
        "encoder",
        f"{encoder['architecture']}, {encoder['layers']} layers, hidden {encoder['hidden']}, "
        f"{encoder['heads']} heads, ffn {encoder['ffn']}, vocabulary {encoder['vocab']}",
    )
    yield _fact("task", _task(task))
    if task["labels"]:
        yield _fact("labels", ", ".join(task["labels"]))
    if task["threshold"] is not None:
        threshold = task["threshold"]
        yield _fact(
            "threshold",
            f"{threshold['label']} at {threshold['value']:.6g}, chosen at a false-alarm rate of "
            f"{threshold['false_alarm_rate']:.3%}",
        )
    yield _fact(
        "runs as",
        f"{engine['precision']} on {engine['isa']}, {engine['threads']} threads, "
        f"{engine['weights_bytes'] / 1e6:.1f} MB of packed weights"
        + (f"; {engine['note']}" if engine["note"] else ""),
    )
    yield ""
    yield from _layers(engine)
    for part in ("lineage", "measured"):
        if facts.get(part):
            yield ""
            yield part
            yield from _tree(facts[part], 1)


def _fact(name: str, value: str) -> str:
    return f"{name:<{_NAME_WIDTH}}{value}"


def _task(task: Mapping[str, Any]) -> str:
    parts = [task["task"], f"texts cut at {task['max_tokens']} tokens"]
    if task["problem"]:
        parts.insert(1, task["problem"].replace("_", " "))
    if task["pooling"]:
        parts.append("pooling " + " + ".join(task["pooling"]))
    if task["normalize"]:
        parts.append("normalised")
    return ", ".join(parts)


def _layers(engine: Mapping[str, Any]) -> Iterator[str]:
    """A line a layer, then each note once with the number of layers that it is about."""
    yield (
        f"{'layer':<34}{'shape':>12}  {'kernel':<28}{'stored':>8}  {'block':>6} {'zero':>6}"
        f"  {'runs':>5}"
    )
    notes: dict[str, int] = {}
    for layer in engine["layers"]:
        rows, cols = layer["shape"]
        block = "x".join(map(str, layer["block"])) if layer["block"] else "-"
        yield (
            f"{layer['name']:<34}{f'{rows}x{cols}':>12}  {layer['kernel']:<28}"
            f"{layer['stored_dtype']:>8}  {block:>6} {layer['sparsity']:>6.1%}"
            f"  {layer['pattern'] or 'dense':>5}"
        )
        if layer["note"]:
            notes[layer["note"]] = notes.get(layer["note"], 0) + 1
    for note, count in notes.items():
        yield f"note: {note} ({count} layers)"


def _tree(value: Any, depth: int) -> Iterator[str]:
    pad = "  " * depth
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if isinstance(inner, Mapping | list):
                yield f"{pad}{name}"
                yield from _tree(inner, depth + 1)
            else:
                yield f"{pad}{name}: {inner}"
    else:
        for inner in value:
            if isinstance(inner, Mapping):
                yield f"{pad}-"
                yield from _tree(inner, depth + 1)
            else:
                yield f"{pad}- {inner}"
