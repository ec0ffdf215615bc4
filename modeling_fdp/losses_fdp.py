"""The classification losses of FDP, with the options that unbalanced and half-coded corpora ask for."""

import torch
from torch.nn import functional as F


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
        focal_gamma (`float`, *optional*, defaults to 0.0): each clip counts (1 - p)^gamma, p the true class's share.

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


def action_unit_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of action units, a mean over those that were coded.

    Args:
        logits (`torch.FloatTensor` of shape `(batch_size, num_action_units)`): scores.
        labels (`torch.FloatTensor` of the same shape): 1 where the unit moved, 0 where not, NaN where nobody knows.

    Returns:
        `torch.FloatTensor` of shape `()`: in float32; 0 where nothing was coded.
    """
    coded = ~labels.isnan()
    losses = F.binary_cross_entropy_with_logits(logits.float(), labels.float().nan_to_num(), reduction="none")
    return (losses * coded).sum() / coded.sum().clamp(min=1)
