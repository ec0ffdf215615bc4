"""Rank scores of frames, the ranking loss, and the pooling of frame features over time."""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_fdp import FDPConfig
from .dynamic_image_fdp import rank_pooling_weights


def running_mean(features: torch.Tensor) -> torch.Tensor:
    """V_t = (F_1 + ... + F_t) / t, the smoothing that rank pooling is defined on (fact sheet, section 1.4).

    Args:
        features (`torch.FloatTensor` of shape `(batch_size, num_frames, ...)`): one entry per frame.

    Returns:
        `torch.FloatTensor` of the same shape.
    """
    count = torch.arange(1, features.shape[1] + 1, device=features.device, dtype=features.dtype)
    return features.cumsum(1) / count.view(1, -1, *([1] * (features.ndim - 2)))


def rank_hinge_loss(rank_scores: torch.Tensor, margin: float) -> torch.Tensor:
    """Mean over all pairs q > t of max(0, margin - s_q + s_t): later frames must score higher.

    The paper says that the ranking follows chronological order; whether it has this loss is unknown, and the released
    code has none. It is RankSVM's, without the norm penalty, which weight decay supplies.

    Args:
        rank_scores (`torch.FloatTensor` of shape `(batch_size, num_frames)`): one score per frame.
        margin (`float`): the least difference that costs nothing.

    Returns:
        `torch.FloatTensor` of shape `()`: not negative.
    """
    difference = rank_scores[:, :, None] - rank_scores[:, None, :]
    later = torch.ones_like(difference[0]).tril(-1)
    num_pairs = rank_scores.shape[1] * (rank_scores.shape[1] - 1) / 2
    return (F.relu(margin - difference) * later).sum((1, 2)).mean() / num_pairs


def scores_per_frame(rank_scores: torch.Tensor, num_frames: int) -> torch.Tensor:
    """Reads scores of moments at the times of frames.

    Args:
        rank_scores (`torch.FloatTensor` of shape `(batch_size, num_moments)`): scores at 1 / num_moments, ... 1 of the
            clip.
        num_frames (`int`): frames, evenly spread from 0 to 1.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_frames)`: linear between the moments, and before the first one.
    """
    start = 2 * rank_scores[:, :1] - rank_scores[:, 1:2]
    curve = torch.cat([start, rank_scores], dim=1)
    # A product of matrices: interpolation has no deterministic gradient on GPUs.
    position = torch.linspace(0, rank_scores.shape[1], num_frames, device=curve.device, dtype=torch.float32)
    place = torch.arange(curve.shape[1], device=curve.device, dtype=torch.float32)
    return curve @ (1 - (position - place[:, None]).abs()).clamp(min=0).to(curve.dtype)


def rank_pair_weights(rank_scores: torch.Tensor, margin: float) -> torch.Tensor:
    """Weights over raw frames from one step of RankSVM, started at the scorer's own scores.

    The step is sum over q > t of a_qt (V_q - V_t), a_qt = how far the pair violates the margin (the hinge's slope,
    made smooth by a sigmoid). With equal scores every pair counts alike, and the result is approximate rank pooling in
    closed form; once a pair is ordered well it fades, as a pair beyond the margin does in a support vector machine.

    Args:
        rank_scores (`torch.FloatTensor` of shape `(batch_size, num_frames)`): one score per frame.
        margin (`float`): as in the loss.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_frames)`: they sum to 0, their absolute values to 2.
    """
    difference = rank_scores[:, :, None] - rank_scores[:, None, :]
    later = torch.ones_like(difference[0]).tril(-1)
    pairs = torch.sigmoid(margin - difference) * later
    smoothed_weights = pairs.sum(2) - pairs.sum(1)
    # sum_t b_t V_t = sum_n F_n sum_{t >= n} b_t / t
    count = torch.arange(1, rank_scores.shape[1] + 1, device=rank_scores.device, dtype=rank_scores.dtype)
    weights = (smoothed_weights / count).flip(1).cumsum(1).flip(1)
    return 2 * weights / weights.abs().sum(1, keepdim=True).clamp(min=1e-6)


class FDPRankScorer(nn.Module):
    """s_t = <u, V_t>: one learned direction along which the running mean of the frame features should grow with time.

    Paper: "a rank scorer gives a rank score for each frame-level feature". Released code: no such module. Here u acts
    on the spatial mean of the map that the frame keeps.
    """

    def __init__(self, config: FDPConfig) -> None:
        super().__init__()
        self.direction = nn.Linear(config.feature_size, 1, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(batch_size, num_frames, feature_size, height, width) -> (batch_size, num_frames)."""
        return self.direction(running_mean(features.mean((-2, -1)))).squeeze(-1)


def closed_form_rank_scores(features: torch.Tensor) -> torch.Tensor:
    """Rank scores without a scorer: the clip's own rank-pooled feature d as the direction, s_t = <d, V_t>.

    Used where nothing is learned (`released`, or no rank loss with a pooling that needs no scores).

    Args:
        features (`torch.FloatTensor` of shape `(batch_size, num_frames, feature_size, height, width)`):
            frame features.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_frames)`: mean zero, unit deviation where the clip moves at all.
    """
    vectors = features.flatten(2)
    weights = rank_pooling_weights(features.shape[1], device=features.device, dtype=features.dtype)
    direction = torch.einsum("t,btc->bc", weights, vectors)
    scores = torch.einsum("bc,btc->bt", direction, running_mean(vectors))
    scores = scores - scores.mean(1, keepdim=True)
    return scores / scores.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)


class FDPTemporalPooling(nn.Module):
    """Frame features to one dynamic representation.

    `config.temporal_pooling` says how:

    - `rank_weighted`: weights from pairs of rank scores, see `rank_pair_weights`;
    - `closed_form`: approximate rank pooling, no parameters;
    - `score_weighted`: softmax of the rank scores;
    - `temporal_convolution`: a 3-D convolution as deep as the frames or moments, over the true time axis;
    - `interleaved_convolution`: the released code. It reshapes (frames, side * side) to (side, side, frames) without
      moving the axis, so that its "time" is eight neighbouring numbers of one frame, and frame t fills a band of rows.
    """

    def __init__(self, config: FDPConfig) -> None:
        super().__init__()
        self.mode = config.temporal_pooling
        self.margin = config.rank_margin
        if self.mode == "temporal_convolution":
            kernel, padding = (config.num_encoder_frames, 3, 3), (0, 1, 1)
        elif self.mode == "interleaved_convolution":
            kernel, padding = (3, 3, config.num_encoder_frames), (1, 1, 0)
        else:
            return
        self.convolution = nn.Conv3d(
            config.feature_size, config.representation_size, kernel, padding=padding, groups=config.feature_size
        )

    def forward(self, features: torch.Tensor, rank_scores: torch.Tensor) -> torch.Tensor:
        """(batch_size, num_frames, channels, height, width) -> (batch_size, representation_size, height, width)."""
        if self.mode == "temporal_convolution":
            return self.convolution(features.transpose(1, 2)).squeeze(2)
        if self.mode == "interleaved_convolution":
            batch_size, num_frames, _, height, width = features.shape
            return self.convolution(features.reshape(batch_size, 1, height, width, num_frames)).squeeze(-1)
        if self.mode == "rank_weighted":
            weights = rank_pair_weights(rank_scores.float(), self.margin)
        elif self.mode == "score_weighted":
            weights = F.softmax(rank_scores.float(), dim=1)
        else:
            weights = rank_pooling_weights(features.shape[1], device=features.device)
            weights = (2 * weights / weights.abs().sum()).expand(features.shape[0], -1)
        return torch.einsum("bt,btchw->bchw", weights.to(features.dtype), features)
