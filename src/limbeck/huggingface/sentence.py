"""modules.json of sentence-transformers -> pooling, normalising, where the encoder lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.errors import ModelError
from limbeck.huggingface.configuration import read_json
from limbeck.spec import Pooling

# The older flags, in the order in which sentence-transformers concatenates.
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_POOLINGS: dict[str, Pooling] = {"cls": "cls", "max": "max", "mean": "mean"}


@dataclass(frozen=True, kw_only=True)
class SentenceModules:
    """`encoder` is the directory of the transformer; poolings are concatenated in order."""

    encoder: Path
    pooling: tuple[Pooling, ...]
    normalize: bool


def read_modules(directory: Path) -> SentenceModules | None:
    """What modules.json says, or None where there is none.

    Raises:
        ModelError: modules other than Transformer, Pooling, Normalize (in this order), a pooling
            that is not supported, or text changes that a raw tokenizer would not make.
    """
    path = directory / "modules.json"
    if not path.is_file():
        return None
    modules = read_json(path)
    if not isinstance(modules, list) or not all(isinstance(m, dict) for m in modules):
        raise ModelError(f"{path} must hold a list of modules")
    # Dropout does nothing outside training.
    kinds = [str(m.get("type", "")).rsplit(".", 1)[-1] for m in modules]
    kept = [(kind, m) for kind, m in zip(kinds, modules) if kind != "Dropout"]
    names = [kind for kind, _ in kept]
    if names not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ModelError(
            f"{path} lists {', '.join(names) or 'nothing'}; "
            "supported: Transformer, Pooling and then, if wanted, Normalize"
        )
    encoder = _inside(directory, kept[0][1])
    _refuse_prompts(directory)
    _refuse_lowercasing(encoder)
    pooling_config = read_json(_inside(directory, kept[1][1]) / "config.json")
    return SentenceModules(
        encoder=encoder,
        pooling=_pooling(pooling_config),
        # Normalising has no settings: its folder is often absent, and is not looked at.
        normalize=len(kept) == 3,
    )


def _inside(directory: Path, module: dict[str, Any]) -> Path:
    path = module.get("path", "")
    if not isinstance(path, str) or ".." in Path(path).parts or Path(path).is_absolute():
        raise ModelError(f"modules.json names {path!r}, which is no folder of this directory")
    return directory / path


def _pooling(config: Any) -> tuple[Pooling, ...]:
    if not isinstance(config, dict):
        raise ModelError("the pooling module's config.json must hold one JSON object")
    if "pooling_mode" in config:
        given = config["pooling_mode"]
        modes = [given] if isinstance(given, str) else given
    else:
        modes = [mode for flag, mode in _FLAGS.items() if config.get(flag)] or ["mean"]
    if not isinstance(modes, list) or not modes or not all(isinstance(m, str) for m in modes):
        raise ModelError(f"pooling_mode must be a name or a list of names, found {modes!r}")
    for mode in modes:
        if mode not in _POOLINGS:
            raise ModelError(f"pooling {mode!r} is not supported; supported: cls, max, mean")
    return tuple(_POOLINGS[mode] for mode in modes)


def _refuse_prompts(directory: Path) -> None:
    path = directory / "config_sentence_transformers.json"
    if not path.is_file():
        return
    config = read_json(path)
    if isinstance(config, dict) and config.get("default_prompt_name"):
        raise ModelError(
            f"{path.name} puts a prompt before every text (default_prompt_name), which is not "
            "supported: set it to null and write the prompt into your texts"
        )


def _refuse_lowercasing(encoder: Path) -> None:
    """sentence-transformers can lowercase texts before tokenising; harmless if a tokenizer does."""
    settings, tokenizer = encoder / "sentence_bert_config.json", encoder / "tokenizer.json"
    if not settings.is_file():
        return
    config = read_json(settings)
    if not (isinstance(config, dict) and config.get("do_lower_case")):
        return
    if tokenizer.is_file() and _lowercases(read_json(tokenizer).get("normalizer")):
        return
    raise ModelError(
        f"{settings} asks for do_lower_case and the tokenizer does not lowercase by itself; "
        "set it to false and lowercase your texts"
    )


def _lowercases(normalizer: Any) -> bool:
    if not isinstance(normalizer, dict):
        return False
    if normalizer.get("type") == "Lowercase" or normalizer.get("lowercase"):
        return True
    return any(_lowercases(part) for part in normalizer.get("normalizers", []))
