"""How the pictures of a video are turned upright, from the display matrix of its container."""

from dataclasses import dataclass

import numpy as np

from .frame_source_fdp import VideoReadError

# Degrees by which a display matrix may miss a quarter turn (our choice; FFmpeg's own autorotation allows 1).
_TURN_TOLERANCE = 2.0


@dataclass(frozen=True)
class Orientation:
    """Transform of stored pictures to upright ones: first transposed, then mirrored.

    Args:
        transposed (`bool`): Whether rows and columns are swapped.
        flipped_rows (`bool`): Whether the result is turned upside down.
        flipped_columns (`bool`): Whether the result is mirrored left to right.
    """

    transposed: bool = False
    flipped_rows: bool = False
    flipped_columns: bool = False

    def apply(self, frames: np.ndarray) -> np.ndarray:
        """Turn frames upright.

        Args:
            frames (`np.ndarray` of shape `(num_frames, height, width, 3)`): As stored.

        Returns:
            `np.ndarray`: A view; height and width are swapped where `transposed`.
        """
        if self.transposed:
            frames = frames.swapaxes(1, 2)
        rows = slice(None, None, -1) if self.flipped_rows else slice(None)
        columns = slice(None, None, -1) if self.flipped_columns else slice(None)
        return frames[:, rows, columns]

    @classmethod
    def from_matrix(cls, matrix: tuple[int, ...], path: str) -> "Orientation":
        """Read a display matrix.

        Args:
            matrix (`tuple[int, ...]`): Nine numbers `a b u c d v x y w` as in ISO/IEC 14496-12 8.3.2: the point (p, q)
                of a stored picture is shown at (a p + c q + x, b p + d q + y).
            path (`str`): Name of the video in errors.

        Raises:
            VideoReadError: If the matrix is not a combination of quarter turns and mirrors.
        """
        a, b, _, c, d = matrix[:5]
        transposed = abs(b) + abs(c) > abs(a) + abs(d)
        first, second = (b, c) if transposed else (a, d)
        rest = (a, d) if transposed else (b, c)
        limit = np.tan(np.radians(_TURN_TOLERANCE))
        if not first or not second or any(abs(r) > limit * min(abs(first), abs(second)) for r in rest):
            raise VideoReadError(
                f"a video may be turned by quarter turns and mirrored, but the display matrix of {path!r} is "
                f"{matrix}; convert it"
            )
        # Transposed, the stored row gives the column, so b points along the rows and c along the columns.
        down, right = (first, second) if transposed else (second, first)
        return cls(transposed, flipped_rows=down < 0, flipped_columns=right < 0)
