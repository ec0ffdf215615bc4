"""Classifiers of the dynamic representation, and their losses."""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_fdp import FDPConfig
from .configuration_heads_fdp import POOLED_CELLS
from .frame_encoder_fdp import FDPConvNormReLU, average_over_grid
from .movement_patterns_fdp import FDPMovementReadout

# Means of probabilities are turned back into scores, which are finite from this probability on.
LEAST_PROBABILITY = 1e-6


class FDPConvolutionalClassifier(nn.Module):
    """3x3 convolution, average over the cells of a small grid, one linear layer (our choice).

    With `reference="movement_patterns"` the output of `FDPMovementReadout` is appended to the last layer's input.
    """

    hidden_size: int

    def __init__(self, config: FDPConfig, num_labels: int) -> None:
        super().__init__()
        size = config.representation_size
        self.norm = nn.BatchNorm2d(size)
        self.convolution = FDPConvNormReLU(size, size)
        self.grid_size = config.classifier_grid_size
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.movement = FDPMovementReadout(config) if config.has_patterns else None
        self.hidden_size = size * self.grid_size**2 + (0 if self.movement is None else self.movement.hidden_size)
        self.output = nn.Linear(self.hidden_size, num_labels)

    def forward(
        self, representation: torch.Tensor, movement: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch_size, representation_size, height, width) -> (batch_size, num_labels) and the last layer's input.

        `movement` is the `movement_features` of `FDPModelOutput`.
        """
        hidden_states = self.convolution(self.norm(representation))
        hidden_states = average_over_grid(hidden_states, self.grid_size).flatten(1)
        if self.movement is not None:
            hidden_states = torch.cat([hidden_states, self.movement(movement)], dim=1)
        hidden_states = self.dropout(hidden_states)
        return self.output(hidden_states), hidden_states


class FDPFullyConnectedClassifier(nn.Module):
    """3x3 max pooling, linear, ReLU, linear (released code). Fixed to the configured image size."""

    hidden_size: int

    def __init__(self, config: FDPConfig, num_labels: int) -> None:
        super().__init__()
        cells = config.image_size // config.feature_stride // POOLED_CELLS
        self.hidden = nn.Linear(config.representation_size * cells**2, config.classifier_hidden_size)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.hidden_size = config.classifier_hidden_size
        self.output = nn.Linear(self.hidden_size, num_labels)

    def forward(
        self, representation: torch.Tensor, movement: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch_size, representation_size, height, width) -> (batch_size, num_labels) and the last layer's input.

        `movement` is ignored: only the convolutional classifier reads it.
        """
        hidden_states = F.max_pool2d(representation, POOLED_CELLS).flatten(1)
        hidden_states = self.dropout(F.relu(self.hidden(hidden_states)))
        return self.output(hidden_states), hidden_states


def averaged_logits(logits: torch.Tensor, others: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Scores whose softmax is a weighted mean of two.

    Args:
        logits (`torch.FloatTensor` of shape `(batch_size, num_labels)`): scores.
        others (`torch.FloatTensor` of the same shape): further scores of the same clips.
        share (`torch.FloatTensor` of shape `(batch_size,)`): weight of the others, from 0 to 1.

    Returns:
        `torch.FloatTensor` of the shape and type of `logits`: logarithms of probabilities.
    """
    mean = torch.lerp(logits.float().softmax(1), others.float().softmax(1), share[:, None])
    return mean.clamp(min=LEAST_PROBABILITY).log().to(logits.dtype)


def averaged_unit_logits(logits: torch.Tensor, others: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Scores whose sigmoid is a weighted mean of two.

    Args:
        logits (`torch.FloatTensor` of shape `(batch_size, num_scores)`): scores of independent units.
        others (`torch.FloatTensor` of the same shape): further scores of the same clips.
        share (`torch.FloatTensor` of shape `(batch_size,)`): weight of the others, from 0 to 1.

    Returns:
        `torch.FloatTensor` of the shape and type of `logits`.
    """
    mean = torch.lerp(logits.float().sigmoid(), others.float().sigmoid(), share[:, None])
    return torch.logit(mean, eps=LEAST_PROBABILITY).to(logits.dtype)


def classification_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    class_weights: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
) -> torch.Tensor:
    """Cross-entropy with class weights, label smoothing and a focal factor (Lin et al., ICCV 2017).

    As in `torch.nn.functional.cross_entropy`, the mean over clips is weighted by the class weights; with
    `focal_gamma=0` the two are the same function.

    Args:
        logits (`torch.FloatTensor` of shape `(batch_size, num_labels)`): class scores.
        labels (`torch.LongTensor` of shape `(batch_size,)`): true classes.
        class_weights (`torch.FloatTensor` of shape `(num_labels,)`, *optional*): one weight per class.
        label_smoothing (`float`, *optional*, defaults to 0.0): share of the target spread over all classes.
        focal_gamma (`float`, *optional*, defaults to 0.0): each clip is weighted by (1 - p)^gamma, p the probability
            of its true class.

    Returns:
        `torch.FloatTensor` of shape `()`: in float32.
    """
    logits = logits.float()
    if class_weights is not None:
        class_weights = class_weights.to(device=logits.device, dtype=logits.dtype)
    if focal_gamma == 0.0:
        return F.cross_entropy(logits, labels, weight=class_weights, label_smoothing=label_smoothing)
    losses = F.cross_entropy(logits, labels, weight=class_weights, label_smoothing=label_smoothing, reduction="none")
    true_share = F.softmax(logits, dim=1).gather(1, labels[:, None]).squeeze(1)
    total = float(len(labels)) if class_weights is None else class_weights[labels].sum()
    return ((1 - true_share).pow(focal_gamma) * losses).sum() / total


def other_label_loss(logits: torch.Tensor, labels: torch.Tensor, problem_type: str) -> torch.Tensor:
    """The losses that transformers gives the other problem types: several labels per clip, or numbers.

    Args:
        logits (`torch.FloatTensor` of shape `(batch_size, num_labels)`): scores.
        labels (`torch.FloatTensor` of the same shape): 1 and 0 per label, or the numbers.
        problem_type (`str`): `"multi_label_classification"` (binary cross-entropy) or `"regression"` (squared error).

    Returns:
        `torch.FloatTensor` of shape `()`: a mean over clips and labels, in float32.
    """
    if problem_type == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits.float(), labels.float())
    return F.mse_loss(logits.float(), labels.float())


def action_unit_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of action units, a mean over those that were coded.

    Args:
        logits (`torch.FloatTensor` of shape `(batch_size, num_action_units)`): scores; those of both sides have a
            third axis of two.
        labels (`torch.FloatTensor` of the same shape): 1 where the unit moved, 0 where not, NaN where unknown.

    Returns:
        `torch.FloatTensor` of shape `()`: in float32; 0 where nothing was coded.
    """
    coded = ~labels.isnan()
    losses = F.binary_cross_entropy_with_logits(logits.float(), labels.float().nan_to_num(), reduction="none")
    return (losses * coded).sum() / coded.sum().clamp(min=1)
