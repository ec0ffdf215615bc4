"""Frames of clips kept on a card, so that a step does not read and send them again."""

import torch

from training_fdp.data.clips import Clip

# Share of the free memory of a card that clips may take (our choice); the rest is for the networks of several folds.
_SHARE = 0.25


class DeviceFrames:
    """Keeps the uint8 frames of clips where a step needs them, as far as there is room.

    Args:
        device (`torch.device`): Device of the batches.
        room (`int`): Bytes that clips may take there; the frames of further clips stay where they are.
    """

    def __init__(self, device: torch.device, room: int) -> None:
        self.device = device
        self.room = room
        self._kept: dict[int, torch.Tensor] = {}

    def of(self, row: int, clip: Clip) -> torch.Tensor:
        """Return all frames of a clip, uint8 `(num_frames, height, width)`: kept, or memory-mapped.

        Args:
            row (`int`): Number of the clip, which always names the same clip.
            clip (`Clip`): The clip.
        """
        if row in self._kept:
            return self._kept[row]
        frames = clip.frames
        if frames.nbytes > self.room:
            return frames
        self.room -= frames.nbytes
        self._kept[row] = frames.to(self.device)
        return self._kept[row]


def room_on(device: torch.device) -> int:
    """Return the bytes (`int`) that clips may take on a device: none on a CPU, which has the files in its memory."""
    return int(_SHARE * torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0
