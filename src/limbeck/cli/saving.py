"""A trained model takes its directory's name whole or not at all."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path

from safetensors import SafetensorError

from limbeck.artifact.replace import filled
from limbeck.errors import InputError, TrainingError
from limbeck.forge.checkpoint import TOKENIZER_FILES, Checkpoint
from limbeck.whole_files import sync_directory, sync_file

# What a model directory is made of, by whatever program. A new model does not keep these of an old
# one; whatever else lies there (a README, notes) stays.
_OF_A_MODEL = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "pytorch_model*.bin",
    "pytorch_model*.bin.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    *TOKENIZER_FILES,
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "[0-9]_*",
    "lineage.json",
)


def check_out(out: Path) -> None:
    """Refuse to write over something before hours of training, not after.

    Raises:
        InputError: `out` is a file, a directory that has files and is no model directory, or one
            that cannot be replaced.
    """
    if out.is_file() or (
        out.is_dir() and any(out.iterdir()) and not (out / "config.json").is_file()
    ):
        raise InputError(f"{out} is there and is no model directory; name another with --out")
    if os.path.ismount(out):
        raise InputError(
            f"{out} is a mount point, which cannot be replaced; name a directory in it with --out"
        )
    target = Path(os.path.realpath(out))
    home = next(parent for parent in target.parents if os.path.lexists(parent))
    if not home.is_dir():
        raise InputError(f"{home} is a file; {out} cannot lie in it")
    if not os.access(home, os.W_OK | os.X_OK):
        raise InputError(f"{home} may not be written to; name another directory with --out")


def save(model: Checkpoint, out: Path) -> None:
    """Write a model beside its directory, put it on disk, and give it the name.

    Files of an old model go with it; all others that lie there stay.

    Raises:
        TrainingError: the disk is full, or refuses for another reason; what was there before is
            as it was.
    """
    target = Path(os.path.realpath(out))
    there = target.exists()
    try:
        with filled(target, _of_a_model) as draft:
            model.save(draft)
            for path in sorted(draft.rglob("*")):
                (sync_directory if path.is_dir() else sync_file)(path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        rest = "the old model there is untouched" if there else "nothing was left there"
        raise TrainingError(f"cannot save {out}: {reason}; {rest}") from error


def _of_a_model(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in _OF_A_MODEL)
