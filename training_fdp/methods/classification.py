"""Cross-entropy on hard and on mixed labels, for methods whose network does not compute it."""

import torch
from torch.nn import functional as F


def soft_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, class_weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Cross-entropy of mixed labels.

    Args:
        logits (`torch.FloatTensor` of shape `(batch_size, num_labels)`): Before the softmax.
        labels (`torch.FloatTensor` of shape `(batch_size, num_labels)`): Rows sum to 1.
        class_weights (`torch.FloatTensor` of shape `(num_labels,)`, *optional*): Weights of the classes.

    Returns:
        `torch.FloatTensor` of shape `()`: The mean weighted by the class weights, as with hard labels;
        `torch.nn.functional.cross_entropy` does not weight the mean of soft labels.
    """
    weighted = labels if class_weights is None else labels * class_weights
    return -(weighted * F.log_softmax(logits.float(), dim=1)).sum() / weighted.sum()


def classification_losses(
    logits: torch.Tensor, labels: torch.Tensor, class_weights: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """Return the cross-entropy as the only loss (`dict` of 0-d tensors), of hard labels or of mixed ones."""
    if labels.ndim == 1:
        loss = F.cross_entropy(logits.float(), labels, weight=class_weights)
    else:
        loss = soft_cross_entropy(logits, labels, class_weights)
    return {"loss": loss, "classification": loss}
