"""limbeck's tensor names -> those of transformers' checkpoints."""

from __future__ import annotations

from limbeck.spec import Architecture, Task

_EMBEDDINGS = {
    "embeddings.word": "embeddings.word_embeddings.weight",
    "embeddings.position": "embeddings.position_embeddings.weight",
    "embeddings.type": "embeddings.token_type_embeddings.weight",
}
# Stems: ".weight", ".gain" and ".bias" are added below.
_BERT_LAYER = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention.norm": "attention.output.LayerNorm",
    "ffn.in": "intermediate.dense",
    "ffn.out": "output.dense",
    "ffn.norm": "output.LayerNorm",
}
_DISTILBERT_LAYER = {
    "attention.query": "attention.q_lin",
    "attention.key": "attention.k_lin",
    "attention.value": "attention.v_lin",
    "attention.output": "attention.out_lin",
    "attention.norm": "sa_layer_norm",
    "ffn.in": "ffn.lin1",
    "ffn.out": "ffn.lin2",
    "ffn.norm": "output_layer_norm",
}


def source_names(name: str, kind: Architecture, task: Task, prefix: str) -> tuple[str, ...]:
    """Names under which a checkpoint may hold tensor `name`, the current one first.

    Args:
        name: a name from limbeck.tensors, layer number filled in.
        task: decides what the head is called.
        prefix: what stands before the encoder's names in this checkpoint, such as "bert.".
    """
    if name in _EMBEDDINGS:
        return (prefix + _EMBEDDINGS[name],)
    stem, leaf = name.rsplit(".", 1)
    parameter = "weight" if leaf == "gain" else leaf
    source = _stem(stem, kind, task, prefix)
    if stem.endswith("norm"):  # checkpoints converted from TensorFlow before 2020 say gamma, beta
        return (f"{source}.{parameter}", f"{source}.{'gamma' if leaf == 'gain' else 'beta'}")
    return (f"{source}.{parameter}",)


def _stem(stem: str, kind: Architecture, task: Task, prefix: str) -> str:
    if stem == "embeddings.norm":
        return prefix + "embeddings.LayerNorm"
    if stem.startswith("layers."):
        _, number, rest = stem.split(".", 2)
        if kind == "distilbert":
            return f"{prefix}transformer.layer.{number}.{_DISTILBERT_LAYER[rest]}"
        return f"{prefix}encoder.layer.{number}.{_BERT_LAYER[rest]}"
    if stem == "head.dense":
        if kind == "bert":
            return prefix + "pooler.dense"
        return "pre_classifier" if kind == "distilbert" else "classifier.dense"
    assert stem == "head.classifier"
    if task == "question-answering":
        return "qa_outputs"
    deep = task == "text-classification" and kind not in ("bert", "distilbert")
    return "classifier.out_proj" if deep else "classifier"
