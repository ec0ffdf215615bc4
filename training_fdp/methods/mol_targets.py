"""Targets of MOL: the flow between frames and the landmarks of each, computed once per aligned clip and kept.

Flow is kept from the first aligned frame to every frame. The flow of any pair of frames is a composition of two of
these, so that files do not depend on the frames that are drawn. Clips of a rendered tree get exact motion from the
renderer; for other clips, and with `use_truth=False`, flow is TV-L1 by scikit-image and points are those of the face
mesh.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from skimage.registration import optical_flow_tvl1
from tqdm import tqdm

from hub_datasets.synthetic.truth import ClipTruth, RenderedTree, find_rendered_root
from processing_fdp.face_mesh_fdp import FaceMeshDetector
from processing_fdp.face_track_fdp import track_face
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.data.aligned_clips import write_array
from training_fdp.data.clips import Clip, Clips
from training_fdp.errors import TrainingError

logger = logging.getLogger(__name__)

# Part of the names of the kept files; raised whenever the same clip gives other targets.
TARGETS_VERSION = 1
# Fixed-point steps that invert a flow; two are enough, because motion is smooth and small.
_INVERSION_STEPS = 2


@dataclass
class MotionTargets:
    """Flow and landmarks of aligned clips, kept beside their frames, or in memory for clips in memory.

    Args:
        with_flow (`bool`): Whether flow is needed.
        num_landmarks (`int`): Points per frame: 68, 5 or 0.
        use_truth (`bool`): Whether clips of rendered trees take their exact motion.
        face_model (`Path`, *optional*): Folder of the morphable model that rendered trees were made with.
    """

    with_flow: bool
    num_landmarks: int
    use_truth: bool = True
    face_model: Path | None = None
    _in_memory: dict[tuple[str, str], NDArray[np.float32]] = field(default_factory=dict, repr=False)
    _trees: dict[Path, RenderedTree] = field(default_factory=dict, repr=False)

    def check(self, frame_files: Iterable[Sequence[str]]) -> None:
        """Find the script of every clip of a rendered tree, without reading a pixel.

        Args:
            frame_files (`Iterable[Sequence[str]]`): Paths of the frames of each clip.

        Raises:
            CorpusOptionError: the motion of a clip cannot be computed again.
        """
        for files in frame_files:
            if root := self._root_of(files):
                self._tree_at(root).locate(files)

    def prepare(self, clips: Clips, processor: FDPVideoProcessor) -> list[str]:
        """Compute the targets of all clips, except those that an earlier run has kept.

        Args:
            clips (`Clips`): Aligned clips.
            processor (`FDPVideoProcessor`): The processor that aligned them.

        Returns:
            `list[str]`: Notes for readers of the results, one sentence each: clips of one frame, frames without
            landmarks.

        Raises:
            CorpusOptionError: a rendered tree whose motion cannot be computed again.
        """
        single, unseen = [], {}
        for row in tqdm(range(len(clips)), desc="Motion targets", unit="clip"):
            clip = clips[row]
            if self.with_flow:
                flow = self._kept(clip, self._flow_name(clip), partial(self._flow, clip, processor))
                if len(flow) == 1:
                    single.append(clip.clip_id)
            if self.num_landmarks:
                points = self._kept(clip, self._points_name(clip), partial(self._points, clip, processor))
                if missing := int((~np.isfinite(points).all(axis=(1, 2))).sum()):
                    unseen[clip.clip_id] = missing
        notes = []
        if single:
            notes.append(f"{len(single)} clips have a single frame, so that their flow is 0: first {single[0]}")
        if unseen:
            first = next(iter(unseen))
            notes.append(
                f"the face mesh finds no landmarks in {sum(unseen.values())} frames of {len(unseen)} clips, first in "
                f"{first}; these frames are left out of the loss of the landmarks"
            )
        for note in notes:
            logger.warning("%s", note)
        return notes

    def flow(self, clip: Clip, earlier: NDArray[np.int64], later: NDArray[np.int64]) -> torch.Tensor:
        """Return the flow of pairs of frames.

        Args:
            clip (`Clip`): A prepared clip.
            earlier (`np.ndarray` of shape `(num_pairs,)`): Frames whose pixels are followed, 0-based.
            later (`np.ndarray` of shape `(num_pairs,)`): Frames to which these pixels move.

        Returns:
            `torch.FloatTensor` of shape `(2, num_pairs, height, width)`: displacement (x, y) in pixels.
        """
        kept = self._kept(clip, self._flow_name(clip), None)
        from_first = [torch.from_numpy(np.asarray(kept[frames], dtype=np.float32)) for frames in (earlier, later)]
        return composed_flow(*from_first).transpose(0, 1).contiguous()

    def landmarks(self, clip: Clip, frames: NDArray[np.int64]) -> torch.Tensor:
        """Return the landmarks of frames (`torch.FloatTensor` of shape `(num_frames, num_landmarks, 2)`).

        They are in pixels from the middle of the frame, NaN where the face was not found.
        """
        kept = self._kept(clip, self._points_name(clip), None)
        return torch.from_numpy(np.asarray(kept[frames], dtype=np.float32))

    def is_exact(self, clip: Clip) -> bool:
        """Whether the flow of a clip comes from its renderer (`bool`)."""
        return self._root_of(clip.frame_files) is not None

    def _root_of(self, frame_files: Sequence[str]) -> Path | None:
        return find_rendered_root(frame_files[0]) if self.use_truth and frame_files else None

    def _flow_name(self, clip: Clip) -> str:
        return f"flow_{'exact' if self.is_exact(clip) else 'tv_l1'}"

    def _points_name(self, clip: Clip) -> str:
        # The built-in faces have no 68 points, so theirs come from the face mesh.
        exact = self.is_exact(clip) and (self.num_landmarks == 5 or self._tree(clip).settings.face_model is not None)
        return f"points_{self.num_landmarks}_{'exact' if exact else 'mesh'}"

    def _tree(self, clip: Clip) -> RenderedTree:
        root = self._root_of(clip.frame_files)
        if root is None:
            raise TrainingError(f"{clip.clip_id} lies in no rendered tree; its motion must be estimated")
        return self._tree_at(root)

    def _tree_at(self, root: Path) -> RenderedTree:
        if root not in self._trees:
            self._trees[root] = RenderedTree(root, self.face_model)
        return self._trees[root]

    def _kept(
        self, clip: Clip, name: str, compute: Callable[[], NDArray[np.float32]] | None
    ) -> NDArray[np.float16] | NDArray[np.float32]:
        """Read a kept array of a clip, or compute and keep it; without `compute`, a missing array is an error."""
        path = None
        if isinstance(clip.pixels, Path):
            path = clip.pixels.with_suffix(f".{name}_v{TARGETS_VERSION}.npy")
            if path.exists():
                try:
                    stored: NDArray[np.float16] = np.load(path, mmap_mode="r")
                    return stored
                except (ValueError, EOFError, OSError) as error:
                    raise TrainingError(
                        f"the motion targets {path} cannot be read ({error}), as after a crash of the machine; delete "
                        "the file, and the next run computes them again"
                    ) from error
        elif (clip.clip_id, name) in self._in_memory:
            return self._in_memory[clip.clip_id, name]
        if compute is None:
            raise TrainingError(f"the motion targets of {clip.clip_id} must be prepared first; call prepare()")
        values = compute()
        if path is None:
            self._in_memory[clip.clip_id, name] = values
            return values
        # Flow is kept in half precision, which rounds values below 2 pixels by 0.001 pixels at most. Points are not,
        # because it would round those far from the middle by 0.03 pixels.
        kept = values.astype(np.float16) if name.startswith("flow") else values
        write_array(path, kept)
        return kept

    def _flow(self, clip: Clip, processor: FDPVideoProcessor) -> NDArray[np.float32]:
        """Flow from the first frame to every frame, `(num_frames, 2, height, width)`."""
        if self.is_exact(clip):
            truth = self._tree(clip).clip(clip.frame_files)
            return exact_flow(truth, self._transforms(clip, processor), tuple(clip.frames.shape[1:]))
        frames = clip.frames.numpy().astype(np.float32) / 255
        return np.stack([tv_l1_flow(frames[0], frame) for frame in frames])

    def _points(self, clip: Clip, processor: FDPVideoProcessor) -> NDArray[np.float32]:
        """Landmarks of every frame in pixels from its middle, `(num_frames, num_landmarks, 2)`."""
        height, width = clip.frames.shape[1:]
        if self._points_name(clip).endswith("exact"):
            truth = self._tree(clip).clip(clip.frame_files)
            points = truth.five_points if self.num_landmarks == 5 else truth.points_68
            if points is None:
                raise TrainingError(f"the renderer of {clip.clip_id} gives no 68 points; set num_landmarks to 5")
            in_crop = to_crop(points, self._transforms(clip, processor)[:, None])
        else:
            frames = np.repeat(clip.frames.numpy()[..., None], 3, axis=3)
            track = track_face(frames, self._detector)
            in_crop = (track.five_points if self.num_landmarks == 5 else track.points_68).astype(np.float64)
        return (in_crop - np.array([(width - 1) / 2, (height - 1) / 2])).astype(np.float32)

    def _transforms(self, clip: Clip, processor: FDPVideoProcessor) -> NDArray[np.float64]:
        """Crop pixels to frame pixels, `(num_frames, 2, 3)`; the clip is aligned again, because no cache has them."""
        aligned = processor.align_clip(list(clip.frame_files), clip_id=clip.clip_id)
        return np.broadcast_to(aligned.transforms, (len(clip.frame_files), 2, 3))

    @cached_property
    def _detector(self) -> FaceMeshDetector:
        return FaceMeshDetector()


def tv_l1_flow(earlier: NDArray[np.float32], later: NDArray[np.float32]) -> NDArray[np.float32]:
    """Estimate the flow between two frames by TV-L1, with the defaults of scikit-image.

    Args:
        earlier (`np.ndarray` of shape `(height, width)`): Gray, in [0, 1].
        later (`np.ndarray` of the same shape): The later frame.

    Returns:
        `np.ndarray` of shape `(2, height, width)`: displacement (x, y) in pixels.
    """
    rows, columns = optical_flow_tvl1(earlier, later)
    return np.stack([columns, rows]).astype(np.float32)


def exact_flow(truth: ClipTruth, transforms: NDArray[np.float64], size_hw: tuple[int, ...]) -> NDArray[np.float32]:
    """Bring the exact flow from the first frame to every frame into the pixels of aligned frames.

    Args:
        truth (`ClipTruth`): Motion in pixels of the rendered frames.
        transforms (`np.ndarray` of shape `(num_frames, 2, 3)`): From pixels of the aligned frames to pixels of the
            rendered ones.
        size_hw (`tuple[int, int]`): Height and width of the aligned frames.

    Returns:
        `np.ndarray` of shape `(num_frames, 2, height, width)`: displacement (x, y) in pixels of the aligned frames.
    """
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]].astype(np.float64)
    places = np.stack([columns, rows], axis=-1)
    in_frame = places @ transforms[0, :, :2].T + transforms[0, :, 2]
    flows = []
    for frame, transform in enumerate(transforms):
        motion = torch.from_numpy(truth.flow(0, frame)).permute(2, 0, 1)
        moved = sampled(motion[None], torch.from_numpy(in_frame)[None].float())[0].permute(1, 2, 0).numpy()
        flows.append((to_crop(in_frame + moved, transform) - places).transpose(2, 0, 1))
    return np.stack(flows).astype(np.float32)


def to_crop(points: NDArray[np.floating], transforms: NDArray[np.float64]) -> NDArray[np.floating]:
    """Map places (x, y) of the frame to the crop by the inverse of `(..., 2, 3)` crop-to-frame transforms."""
    offsets = points - transforms[..., 2]
    answer: NDArray[np.floating] = np.linalg.solve(transforms[..., :2], offsets[..., None])[..., 0]
    return answer


def composed_flow(to_earlier: torch.Tensor, to_later: torch.Tensor) -> torch.Tensor:
    """Compose the flow from earlier to later frames of the flows from one common frame to both.

    Args:
        to_earlier (`torch.FloatTensor` of shape `(num_pairs, 2, height, width)`): Displacement (x, y) in pixels from
            the common frame to the earlier one.
        to_later (`torch.FloatTensor` of the same shape): From the common frame to the later one.

    Returns:
        `torch.FloatTensor` of the same shape: at the pixels of the earlier frames.
    """
    height, width = to_earlier.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([columns, rows], dim=-1).to(to_earlier)
    # Pixels of the common frame that move to each place of the earlier one: origin + flow(origin) = place.
    origins = places.expand(len(to_earlier), -1, -1, -1)
    for _ in range(_INVERSION_STEPS):
        origins = places - sampled(to_earlier, origins).permute(0, 2, 3, 1)
    return sampled(to_later - to_earlier, origins)


def sampled(maps: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Interpolate maps at places, bilinear; places outside of a map get the value at its border.

    Args:
        maps (`torch.FloatTensor` of shape `(batch_size, num_channels, height, width)`): Values at whole pixels.
        places (`torch.FloatTensor` of shape `(batch_size, rows, columns, 2)`): Pixels (x, y).

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_channels, rows, columns)`: the values.
    """
    size_xy = torch.tensor([maps.shape[-1], maps.shape[-2]], dtype=places.dtype, device=places.device)
    grid = (2 * places + 1) / size_xy - 1
    return F.grid_sample(maps, grid.to(maps.dtype), padding_mode="border", align_corners=False)
