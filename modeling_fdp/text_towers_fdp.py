"""Text towers: from sets of action units to vectors in the space of the clips."""

from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, PreTrainedTokenizerFast

from .action_unit_phrases_fdp import SIDES_PER_UNIT, all_phrases, phrase_of, unit_texts
from .configuration_alignment_fdp import FDPAlignmentConfig

PAD, START, UNKNOWN, END = "<pad>", "<s>", "<unk>", "</s>"
# Largest number of tokens per unit: a side, three words and a comma. Two more mark start and end.
WORDS_PER_UNIT = 5


def phrase_tokenizer(config: FDPAlignmentConfig) -> PreTrainedTokenizerFast:
    """Builds the tokenizer of the phrases: one token per word.

    Args:
        config (`FDPAlignmentConfig`): holds the phrases, whose words are the whole vocabulary.

    Returns:
        `PreTrainedTokenizerFast`: the same for the same phrases; saved with a checkpoint.
    """
    words = sorted({word for phrase in all_phrases(config.action_unit_phrases) for word in phrase.split()} | {","})
    # The end has the highest number, because CLIP's text transformer pools at the highest one where its end is 2.
    vocabulary = {word: number for number, word in enumerate([PAD, START, UNKNOWN, *words, END])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    ends = [(START, vocabulary[START]), (END, vocabulary[END])]
    tokenizer.post_processor = TemplateProcessing(single=f"{START} $A {END}", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, bos_token=START, unk_token=UNKNOWN, eos_token=END
    )


class FDPTextTable(nn.Module):
    """One learnt vector per unit and side, summed over the set, layer norm (our choice).

    A sum does not depend on the order, and a set that was never trained is the sum of vectors that were.
    """

    def __init__(self, config: FDPAlignmentConfig) -> None:
        super().__init__()
        self.units = nn.Embedding(SIDES_PER_UNIT * len(config.action_units) + 1, config.projection_size)
        self.norm = nn.LayerNorm(config.projection_size)

    def forward(self, sets: torch.Tensor) -> torch.Tensor:
        """(num_sets, num_action_units, 2) -> (num_sets, projection_size)."""
        vectors = self.units.weight
        summed: torch.Tensor = self.norm(unit_texts(sets.to(vectors)) @ vectors)
        return summed


class FDPPhraseVectors(nn.Module):
    """Vectors that another text model gave the phrases, averaged over the set, a learnt projection and layer norm.

    The vectors are stored in a buffer, because neither training nor inference must need that model.
    """

    def __init__(self, config: FDPAlignmentConfig) -> None:
        super().__init__()
        shape = (SIDES_PER_UNIT * len(config.action_units) + 1, config.phrase_vector_size)
        self.vectors = nn.Buffer(torch.zeros(shape))
        self.projection = nn.Linear(config.phrase_vector_size, config.projection_size)
        self.norm = nn.LayerNorm(config.projection_size)

    def forward(self, sets: torch.Tensor) -> torch.Tensor:
        """(num_sets, num_action_units, 2) -> (num_sets, projection_size)."""
        parts = unit_texts(sets.to(self.vectors))
        mean = parts @ self.vectors / parts.sum(1, keepdim=True)
        projected: torch.Tensor = self.norm(self.projection(mean))
        return projected


class FDPTextTransformer(nn.Module):
    """CLIP's text transformer, small and from random weights, on sentences of our phrases."""

    def __init__(self, config: FDPAlignmentConfig) -> None:
        super().__init__()
        self.phrases = list(config.action_unit_phrases)
        self.tokenizer = phrase_tokenizer(config)
        # The attention of the whole model; in a dict, because transformers' type hints lack this argument.
        attention: dict[str, Any] = {"attn_implementation": config._attn_implementation}
        self.model = CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=len(self.tokenizer),
                hidden_size=config.text_hidden_size,
                intermediate_size=4 * config.text_hidden_size,
                num_hidden_layers=config.text_num_layers,
                num_attention_heads=config.text_num_heads,
                max_position_embeddings=WORDS_PER_UNIT * max(len(self.phrases), 1) + 2,
                projection_dim=config.projection_size,
                pad_token_id=self.tokenizer.pad_token_id,
                bos_token_id=self.tokenizer.bos_token_id,
                eos_token_id=self.tokenizer.eos_token_id,
                **attention,
            )
        )

    def forward(self, sets: torch.Tensor) -> torch.Tensor:
        """(num_sets, num_action_units, 2) -> (num_sets, projection_size)."""
        texts = [phrase_of(units, self.phrases) for units in sets]
        if not texts:
            return self.model.text_projection.weight.new_zeros(0, self.model.text_projection.out_features)
        tokens = self.tokenizer(texts, padding=True, return_tensors="pt").to(self.model.device)
        vectors: torch.Tensor = self.model(tokens["input_ids"], tokens["attention_mask"]).text_embeds
        return vectors


TEXT_TOWERS: dict[str, type[nn.Module]] = {
    "table": FDPTextTable,
    "pretrained": FDPPhraseVectors,
    "transformer": FDPTextTransformer,
}
