"""One clip, from preparation to evaluation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from training_fdp.errors import TrainingError


class Clips(Protocol):
    """Clips by row; their frames are read when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> "Clip": ...

    def __iter__(self) -> Iterator["Clip"]: ...


@dataclass(frozen=True)
class Clip:
    """An aligned clip and its annotations.

    Args:
        clip_id (`str`): Its unique name.
        subject (`str`): The person shown.
        pixels (`Path` or `torch.ByteTensor` of shape `(num_frames, height, width)`): The frames, or the path of their
            `.npy` file.
        label (`int`, *optional*): Its class; `None` where it has none.
        onset (`int`, *optional*): 0-based index of the first frame of the expression; `None` where unknown.
        apex (`int`, *optional*): Index of its strongest frame.
        offset (`int`, *optional*): Index of its last frame.
        action_units (`tuple[Mapping, ...]`, *optional*): Coded units with `code`, `side` and `alternative`.
        moves (`bool`, *optional*, defaults to `True`): Whether the movement is among the frames that are shown; if
            not, no class is right and no unit moved.
        frame_files (`tuple[str, ...]`, *optional*): Paths of the frames before alignment, where they are files.
    """

    clip_id: str
    subject: str
    pixels: Path | torch.Tensor
    label: int | None = None
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    action_units: tuple[Mapping[str, object], ...] = ()
    moves: bool = True
    frame_files: tuple[str, ...] = ()

    @property
    def frames(self) -> torch.Tensor:
        """All aligned frames (`torch.ByteTensor` of shape `(num_frames, height, width)`), read at each access.

        Raises:
            TrainingError: the file is damaged or missing.
        """
        if isinstance(self.pixels, torch.Tensor):
            return self.pixels
        try:
            # A copy, because the memory map is read-only and tensors are writable.
            return torch.from_numpy(np.array(np.load(self.pixels, mmap_mode="r")))
        except (ValueError, EOFError, OSError) as error:
            raise TrainingError(
                f"the prepared clip {self.pixels} cannot be read ({error}), as after a crash of the machine; delete "
                "the file, and the next run prepares the clip again"
            ) from error
