"""Emotion inference (MER-CLIP, arXiv 2505.05937): transformer blocks over the video's tokens, and a class token."""

import torch
from torch import nn

from .configuration_alignment_fdp import FDPAlignmentConfig
from .frame_encoder_fdp import average_over_grid


class FDPEmotionInference(nn.Module):
    """Transformer blocks whose class token is classified after each; the scores are averaged (released code).

    Learnt vectors of the place in time and in the face are added to the tokens, because the tokens come from
    convolutions and not from a vision transformer (our choice).
    """

    def __init__(self, config: FDPAlignmentConfig, num_labels: int) -> None:
        super().__init__()
        size = config.emotion_hidden_size
        self.grid_size = config.token_grid_size
        self.tokens = nn.Linear(config.feature_size, size)
        self.class_token = nn.Linear(config.projection_size, size)
        self.norm = nn.LayerNorm(size)
        self.place_in_time = nn.Parameter(torch.zeros(config.num_encoder_frames, 1, size))
        self.place_in_face = nn.Parameter(torch.zeros(config.token_grid_size**2, size))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                size,
                config.emotion_num_heads,
                dim_feedforward=4 * size,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.emotion_num_layers)
        )
        self.output_norm = nn.LayerNorm(size)
        self.dropout = nn.Dropout(config.emotion_dropout)
        self.output = nn.Linear(size, num_labels)

    def forward(self, maps: torch.Tensor, clips: torch.Tensor) -> torch.Tensor:
        """Infers the emotion.

        Args:
            maps (`torch.FloatTensor` of shape `(batch_size, num_encoder_frames, feature_size, height, width)`): maps
                of the frames, moments or patterns.
            clips (`torch.FloatTensor` of shape `(batch_size, projection_size)`): one vector per clip.

        Returns:
            `torch.FloatTensor` of shape `(batch_size, num_labels)`: scores before the softmax.
        """
        # (batch_size, frames, channels, height, width) -> (batch_size, frames, cells, channels)
        cells = average_over_grid(maps.flatten(0, 1), self.grid_size).flatten(2).transpose(1, 2)
        tokens = self.tokens(cells.unflatten(0, maps.shape[:2]))
        # Without a kernel over time a clip may have another number of frames than the configuration.
        moments: torch.Tensor = self.place_in_time
        if len(moments) != maps.shape[1]:
            moments = nn.functional.interpolate(moments.permute(1, 2, 0), maps.shape[1], mode="linear").permute(
                2, 0, 1
            )
        tokens = (tokens + moments + self.place_in_face).flatten(1, 2)
        hidden_states = self.norm(torch.cat([self.class_token(clips)[:, None], tokens], dim=1))
        scores = []
        for block in self.blocks:
            hidden_states = block(hidden_states)
            scores.append(self.output(self.dropout(self.output_norm(hidden_states[:, 0]))))
        return torch.stack(scores).mean(0)
