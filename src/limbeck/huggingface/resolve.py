"""A path or a hub name -> a local directory."""

from __future__ import annotations

import os
import re
from pathlib import Path

from limbeck.errors import InputError, MissingExtraError, ModelError

# "name" or "owner/name", as the hub allows them.
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
# All that a model needs here; no pickles, no other frameworks' weights.
_HUB_FILES = ("*.json", "*.safetensors", "vocab.txt", "*/config.json", "*/*.safetensors")


def resolve(name_or_path: str | os.PathLike[str]) -> Path:
    """Find the directory of a model; a hub name is downloaded (or taken from the hub's cache).

    HF_HUB_OFFLINE, HF_HOME and HF_TOKEN mean what they mean to huggingface_hub.

    Raises:
        InputError: the argument is no path and no name.
        MissingExtraError: a hub name, and huggingface_hub is not installed.
        ModelError: neither a directory nor a hub name, or the hub could not deliver it.
    """
    if not isinstance(name_or_path, (str, os.PathLike)) or not os.fspath(name_or_path):
        raise InputError(f"a model is a path or a hub name, found {name_or_path!r}")
    text = os.fspath(name_or_path)
    if "\0" in text:
        raise InputError(f"a path cannot hold a NUL byte: {text!r}")
    try:
        path = Path(text).expanduser()
        is_directory, exists = path.is_dir(), path.exists()
    except (OSError, RuntimeError) as error:  # a name too long, a loop of links, an unknown user
        raise ModelError(f"{text[:200]} cannot be looked up: {error}") from error
    if is_directory:
        return path
    if exists:
        raise ModelError(f"{path} is a file; a model is a directory: give the one that holds it")
    if isinstance(name_or_path, os.PathLike) or not _HUB_ID.fullmatch(text):
        raise ModelError(f"no directory {path}; give a model directory or a hub name (owner/name)")
    return _download(text)


def _download(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingExtraError(
            f"{name} is no directory here, so it must be a hub name; huggingface_hub", "forge"
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES)))
    except Exception as error:  # the hub client raises types of several libraries
        lines = str(error).strip().splitlines()
        raise ModelError(
            f"no directory {name}, and the hub did not deliver a model of that name: "
            f"{lines[0] if lines else type(error).__name__}"
        ) from error
