"""Rank scores of frames, the ranking loss, and the pooling of frame features over time.

Rank pooling (Fernando et al., CVPR 2015) sums a clip up by the parameters d of a linear ranker that orders the running
means V_t of its frame features by time. Here d is initialised with the direction u of the shared rank scorer, and the
representation is d - u, rescaled: 0 for a still clip.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_fdp import FDPConfig
from .dynamic_image_fdp import rank_pooling_weights
from .frame_encoder_fdp import average_over_grid

# Step size of the ranker's gradient descent. With features in the unit of their own motion the smooth hinge curves by
# at most num_frames / (2 (num_frames - 1)) <= 1, and descent is stable below 2 over that.
RANKER_RATE = 1.5


def running_mean(features: torch.Tensor) -> torch.Tensor:
    """V_t = (F_1 + ... + F_t) / t, the smoothing that rank pooling is defined on (Fernando et al., CVPR 2015).

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
    code has none. It is RankSVM's, without the norm penalty, which weight decay replaces.

    Args:
        rank_scores (`torch.FloatTensor` of shape `(batch_size, num_frames)`): one score per frame.
        margin (`float`): the least difference with zero loss.

    Returns:
        `torch.FloatTensor` of shape `()`: not negative.
    """
    difference = rank_scores[:, :, None] - rank_scores[:, None, :]
    later = torch.ones_like(difference[0]).tril(-1)
    num_pairs = rank_scores.shape[1] * (rank_scores.shape[1] - 1) / 2
    return (F.relu(margin - difference) * later).sum((1, 2)).mean() / num_pairs


def progress_loss(rank_scores: torch.Tensor, progress: torch.Tensor, margin: float) -> torch.Tensor:
    """Pairwise hinge that orders frames by the progress of the movement instead of time.

    Mean over all pairs with progress p_q >= p_t of max(0, margin (p_q - p_t) - (s_q - s_t)). Per clip the smaller loss
    of the scores and their negatives counts, because the sign of a curve is set by a rule, not learned.

    Args:
        rank_scores (`torch.FloatTensor` of shape `(batch_size, num_frames)`): one score per frame.
        progress (`torch.FloatTensor` of the same shape): from 0, at rest, to 1, at the apex; NaN where unknown.
        margin (`float`): required difference of scores between rest and apex.

    Returns:
        `torch.FloatTensor` of shape `()`: not negative; 0 if no progress is known.
    """
    known = ~progress.isnan()
    progress = progress.nan_to_num()
    further = progress[:, :, None] - progress[:, None, :]
    pairs = (further >= 0) & known[:, :, None] & known[:, None, :]
    difference = rank_scores[:, :, None] - rank_scores[:, None, :]
    both = [(F.relu(margin * further - sign * difference) * pairs).sum((1, 2)) for sign in (1, -1)]
    return torch.minimum(*both).sum() / pairs.sum().clamp(min=1)


def scores_per_frame(rank_scores: torch.Tensor, num_frames: int) -> torch.Tensor:
    """Interpolates scores of moments at the times of frames.

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


def _pull_of_pairs(rank_scores: torch.Tensor, margin: float) -> torch.Tensor:
    """Weights of the frames from all pairs q > t: sum of a_qt on q, minus the same on t; they sum to 0 over the clip.

    a_qt = how far the pair violates the margin, the hinge's slope made smooth by a sigmoid.
    """
    difference = rank_scores[:, :, None] - rank_scores[:, None, :]
    later = torch.ones_like(difference[0]).tril(-1)
    pairs = torch.sigmoid(margin - difference) * later
    return pairs.sum(2) - pairs.sum(1)


def _weights_on_frames(smoothed_weights: torch.Tensor) -> torch.Tensor:
    """Weights b_t of running means V_t to weights of the frames themselves, on a fixed scale.

    sum_t b_t V_t = sum_n F_n sum_{t >= n} b_t / t
    """
    num_frames = smoothed_weights.shape[1]
    count = torch.arange(1, num_frames + 1, device=smoothed_weights.device, dtype=smoothed_weights.dtype)
    weights = (smoothed_weights / count).flip(1).cumsum(1).flip(1)
    return 2 * weights / weights.abs().sum(1, keepdim=True).clamp(min=1e-6)


def rank_pair_weights(rank_scores: torch.Tensor, margin: float) -> torch.Tensor:
    """Weights over raw frames from one step of RankSVM, started at the scorer's own scores.

    The step is sum over q > t of a_qt (V_q - V_t). With equal scores every pair counts alike, and the result is
    approximate rank pooling in closed form; the weight of a pair falls once it is ordered well, as beyond the margin
    of a support vector machine.

    Args:
        rank_scores (`torch.FloatTensor` of shape `(batch_size, num_frames)`): scores of the running means.
        margin (`float`): as in the loss.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_frames)`: they sum to 0, their absolute values to 2.
    """
    return _weights_on_frames(_pull_of_pairs(rank_scores, margin))


def fitted_ranker_weights(
    features: torch.Tensor, rank_scores: torch.Tensor, margin: float, num_steps: int
) -> torch.Tensor:
    """Weights over raw frames that make up the linear ranker of a clip.

    The ranker is d = u + sum_t b_t V_t. Its smooth hinge over all pairs is lowered by gradient descent from b = 0, and
    the small number of steps replaces the norm penalty of RankSVM. It needs the products of the V_t among each other
    only, so that a step costs num_frames squared operations per clip. One step is `rank_pair_weights`.

    Args:
        features (`torch.FloatTensor` of shape `(batch_size, num_frames, channels, height, width)`): frame features.
        rank_scores (`torch.FloatTensor` of shape `(batch_size, num_frames)`): scores u gives to the running means.
        margin (`float`): as in the loss.
        num_steps (`int`): steps of gradient descent, at least 1.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_frames)`: they sum to 0, their absolute values to 2.
    """
    # Half precision would lose the difference of two almost equal frames.
    with torch.autocast(features.device.type, enabled=False):
        vectors = running_mean(features.flatten(2).float())
        vectors = vectors - vectors.mean(1, keepdim=True)
        products = vectors @ vectors.transpose(1, 2)
        # Features are scaled by the clip's own motion, so that one step size fits all clips.
        products = products / vectors.square().sum(2).mean(1).clamp(min=1e-12)[:, None, None]
        num_pairs = rank_scores.shape[1] * (rank_scores.shape[1] - 1) / 2
        smoothed_weights, scores = torch.zeros_like(rank_scores), rank_scores
        for step in range(num_steps):
            if step:
                scores = rank_scores + (products @ smoothed_weights[:, :, None]).squeeze(2)
            smoothed_weights = smoothed_weights + RANKER_RATE / num_pairs * _pull_of_pairs(scores, margin)
        return _weights_on_frames(smoothed_weights)


class FDPRankScorer(nn.Module):
    """s_t = <u, V_t> or <u, F_t>: one direction, shared by all clips, along which frame features grow with time.

    Paper: "a rank scorer gives a rank score for each frame-level feature", which is F_t. Released code: no such
    module. Here u acts on the frame's feature map, averaged over the cells of a grid, or on its running mean.
    """

    def __init__(self, config: FDPConfig) -> None:
        super().__init__()
        self.smoothed = config.rank_smoothing == "running_mean"
        self.grid_size = config.rank_grid_size
        self.direction = nn.Linear(config.feature_size * self.grid_size**2, 1, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(batch_size, num_frames, feature_size, height, width) -> (batch_size, num_frames)."""
        if self.grid_size == 1:
            vectors = features.mean((-2, -1))
        else:
            cells = average_over_grid(features.flatten(0, 1), self.grid_size)
            vectors = cells.reshape(*features.shape[:2], -1)
        scores: torch.Tensor = self.direction(running_mean(vectors) if self.smoothed else vectors)
        return scores.squeeze(-1)


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
    """Frame features to one dynamic representation: a sum of the frames by weights that `frame_weights` gives.

    A subclass overrides `frame_weights`, or `forward` where the representation is no such sum. It may have parameters.
    """

    def __init__(self, config: FDPConfig) -> None:
        super().__init__()
        self.config = config

    def frame_weights(self, features: torch.Tensor, rank_scores: torch.Tensor) -> torch.Tensor:
        """Weights of the frames.

        Args:
            features (`torch.FloatTensor` of shape `(batch_size, num_frames, channels, height, width)`):
                frame features.
            rank_scores (`torch.FloatTensor` of shape `(batch_size, num_frames)`): one score per frame.

        Returns:
            `torch.FloatTensor` of shape `(batch_size, num_frames)`: of either sign.
        """
        raise NotImplementedError(f"{type(self).__name__} must define frame_weights or forward")

    def forward(self, features: torch.Tensor, rank_scores: torch.Tensor) -> torch.Tensor:
        """(batch_size, num_frames, channels, height, width) -> (batch_size, representation_size, height, width)."""
        weights = self.frame_weights(features, rank_scores)
        return torch.einsum("bt,btchw->bchw", weights.to(features.dtype), features)

    def _scores_of_running_means(self, rank_scores: torch.Tensor) -> torch.Tensor:
        """<u, V_t> in float32 from the scorer's output, which is linear: a mean of scores is the score of the mean."""
        scores = rank_scores.float()
        return scores if self.config.rank_smoothing == "running_mean" else running_mean(scores)


class FDPRankWeightedPooling(FDPTemporalPooling):
    """Weights from pairs of rank scores, see `rank_pair_weights`."""

    def frame_weights(self, features: torch.Tensor, rank_scores: torch.Tensor) -> torch.Tensor:
        """See the base class."""
        return rank_pair_weights(self._scores_of_running_means(rank_scores), self.config.rank_margin)


class FDPRankPooling(FDPTemporalPooling):
    """A ranker fitted to the clip's own frames, see `fitted_ranker_weights`."""

    def frame_weights(self, features: torch.Tensor, rank_scores: torch.Tensor) -> torch.Tensor:
        """See the base class."""
        scores = self._scores_of_running_means(rank_scores)
        return fitted_ranker_weights(features, scores, self.config.rank_margin, self.config.rank_pooling_steps)


class FDPClosedFormPooling(FDPTemporalPooling):
    """Approximate rank pooling; reads no scores."""

    def frame_weights(self, features: torch.Tensor, rank_scores: torch.Tensor) -> torch.Tensor:
        """See the base class."""
        weights = rank_pooling_weights(features.shape[1], device=features.device)
        return (2 * weights / weights.abs().sum()).expand(features.shape[0], -1)


class FDPScoreWeightedPooling(FDPTemporalPooling):
    """Softmax of the rank scores."""

    def frame_weights(self, features: torch.Tensor, rank_scores: torch.Tensor) -> torch.Tensor:
        """See the base class."""
        return F.softmax(rank_scores.float(), dim=1)


class FDPTemporalConvolution(FDPTemporalPooling):
    """A 3-D convolution over all frames or moments, along the true time axis."""

    time_axis = 0  # of the kernel's three

    def __init__(self, config: FDPConfig) -> None:
        super().__init__(config)
        size, padding = [3, 3], [1, 1]
        size.insert(self.time_axis, config.num_encoder_frames)
        padding.insert(self.time_axis, 0)
        self.convolution = nn.Conv3d(
            config.feature_size,
            config.representation_size,
            (size[0], size[1], size[2]),
            padding=(padding[0], padding[1], padding[2]),
            groups=config.feature_size,
        )

    def forward(self, features: torch.Tensor, rank_scores: torch.Tensor) -> torch.Tensor:
        """See the base class."""
        pooled: torch.Tensor = self.convolution(self.arrange(features))
        return pooled.squeeze(2 + self.time_axis)

    def arrange(self, features: torch.Tensor) -> torch.Tensor:
        """(batch_size, num_frames, channels, height, width) -> (batch_size, channels, num_frames, height, width)."""
        return features.transpose(1, 2)


class FDPInterleavedConvolution(FDPTemporalConvolution):
    """The released code's convolution.

    It reshapes (frames, side * side) to (side, side, frames) without moving the axis, so that its "time" is eight
    neighbouring numbers of one frame, and frame t fills a band of rows.
    """

    time_axis = 2

    def arrange(self, features: torch.Tensor) -> torch.Tensor:
        """(batch_size, num_frames, 1, height, width) -> (batch_size, 1, height, width, num_frames)."""
        batch_size, num_frames, _, height, width = features.shape
        return features.reshape(batch_size, 1, height, width, num_frames)


POOLINGS: dict[str, type[FDPTemporalPooling]] = {
    "rank_weighted": FDPRankWeightedPooling,
    "rank_pooling": FDPRankPooling,
    "closed_form": FDPClosedFormPooling,
    "score_weighted": FDPScoreWeightedPooling,
    "temporal_convolution": FDPTemporalConvolution,
    "interleaved_convolution": FDPInterleavedConvolution,
}
