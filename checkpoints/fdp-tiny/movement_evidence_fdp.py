"""Whether the face moved in a clip at all, from the size of its movement and the action units that the network sees.

The size alone does not part small movements from noise, slow light and a sliding head, which have no action unit; the
units alone do not part them from sensor noise (docs/results/windows.md). Our choice; the paper classifies every clip.
"""

from collections.abc import Sequence

import torch

# Pixels added before the logarithm, because equal frames have the size 0.
FLOOR = 0.01


def movement_evidence(movement_size: torch.Tensor, action_unit_logits: torch.Tensor) -> torch.Tensor:
    """Measures that are larger for a movement than for noise.

    Args:
        movement_size (`torch.FloatTensor` of shape `(batch_size,)`): of `FDPVideoClassifierOutput`.
        action_unit_logits (`torch.FloatTensor` of shape `(batch_size, num_action_units)`): before the sigmoid.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, 2)`: single precision; the largest probability of an action unit, in
        [0, 1], and the logarithm of the size, at least that of `FLOOR`.
    """
    largest = action_unit_logits.float().sigmoid().amax(1)
    return torch.stack([largest, (movement_size.float() + FLOOR).log()], 1)


def movement_score(evidence: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    """Scores the evidence by a logistic regression.

    Args:
        evidence (`torch.FloatTensor` of shape `(batch_size, 2)`): from `movement_evidence`.
        weights (`Sequence[float]`): `config.movement_weights`: of the unit, of the size, and a constant.

    Returns:
        `torch.FloatTensor` of shape `(batch_size,)`: in the precision of the evidence; below 0 where nothing moved.
    """
    # A sum, because autocast would compute a matrix product in half precision.
    return (evidence * evidence.new_tensor(weights[:-1])).sum(1) + weights[-1]
