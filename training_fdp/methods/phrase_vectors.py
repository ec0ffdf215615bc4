"""Vectors of phrases, encoded by a text model that the user names."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from modeling_fdp.action_unit_phrases_fdp import all_phrases
from training_fdp.methods.pretrained import checkpoint_source, loading_refused

OPTION = "--text_model"


@torch.no_grad()
def phrase_vectors(name: str, phrases: Sequence[str]) -> torch.Tensor:
    """Encode every text of one action unit.

    Args:
        name (`str`): Folder in Hub format, or a repository `namespace/name`: a model with `get_text_features` (CLIP
            and similar ones), or any encoder of text, whose last hidden states are averaged over tokens.
        phrases (`Sequence[str]`): One phrase per action unit.

    Returns:
        `torch.FloatTensor` of shape `(3 * num_units + 1, size)`: In the order of
            `modeling_fdp.action_unit_phrases_fdp.all_phrases`; on the CPU, of unit length.

    Raises:
        ConfigError: there is no such model, or it cannot be loaded.
    """
    source = checkpoint_source(name, OPTION)
    with loading_refused(name, OPTION):
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModel.from_pretrained(source, config=AutoConfig.from_pretrained(source)).eval()
    tokens = tokenizer(all_phrases(phrases), padding=True, return_tensors="pt")
    vectors = _text_features(model, tokens)
    return torch.nn.functional.normalize(vectors.float(), dim=-1)


def _text_features(model: Any, tokens: Any) -> torch.Tensor:
    inputs = {key: value for key, value in tokens.items() if key in ("input_ids", "attention_mask")}
    if hasattr(model, "get_text_features"):
        features = model.get_text_features(**inputs)
        return features if isinstance(features, torch.Tensor) else features.pooler_output
    output = model(**inputs)
    if getattr(output, "text_embeds", None) is not None:
        return output.text_embeds
    mask = inputs["attention_mask"][..., None].to(output.last_hidden_state)
    return (output.last_hidden_state * mask).sum(1) / mask.sum(1)
