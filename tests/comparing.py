"""How answers are compared, and transformers' answers to compare with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Ids = Sequence[Sequence[int]]


def relative_error(found: F32, wanted: F32) -> float:
    """Relative L2 distance, both centred over inputs: what all answers share counts nothing."""
    assert found.shape == wanted.shape
    assert wanted.shape[0] > 1
    found, wanted = found.astype(np.float64), wanted.astype(np.float64)
    found, wanted = found - found.mean(axis=0), wanted - wanted.mean(axis=0)
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def load_transformers(directory: Path) -> Any:
    """The torch model that config.json names; every weight must come from the file."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    name = json.loads((directory / "config.json").read_text())["architectures"][0]
    model, loading = getattr(transformers, name).from_pretrained(
        directory, output_loading_info=True, local_files_only=True
    )
    # A plain RobertaModel makes up a pooler that nothing here looks at.
    missing = [key for key in loading["missing_keys"] if not key.startswith("pooler.")]
    assert not missing, missing
    assert not loading["unexpected_keys"], loading["unexpected_keys"]
    return model.eval()


def transformers_answers(model: Any, rows: Ids, type_ids: Ids | None = None) -> dict[str, F32]:
    """ "hidden" [T, C] and, with a head, "logits" [B, L] or [T, L]; one sequence at a time."""
    import torch

    found: dict[str, list[F32]] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the models are small
    with torch.inference_mode():
        for i, row in enumerate(rows):
            named = {"input_ids": torch.tensor([row]), "attention_mask": torch.ones(1, len(row))}
            if type_ids is not None:
                named["token_type_ids"] = torch.tensor([type_ids[i]])
            answer = model(**named, output_hidden_states=True)
            found.setdefault("hidden", []).append(answer.hidden_states[-1][0].numpy())
            if "logits" in answer:
                logits = answer.logits.numpy()
                found.setdefault("logits", []).append(logits[0] if logits.ndim == 3 else logits)
            if "start_logits" in answer:  # of questions: two numbers a token
                spans = torch.stack([answer.start_logits[0], answer.end_logits[0]], dim=-1)
                found.setdefault("logits", []).append(spans.numpy())
    torch.set_num_threads(threads)
    return {output: np.concatenate(parts) for output, parts in found.items()}
