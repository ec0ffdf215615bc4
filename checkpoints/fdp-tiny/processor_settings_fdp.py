"""Settings of the video processor and of one call: names, and values of the right type."""

import math
import os
from collections.abc import Mapping
from typing import TypedDict

import numpy as np
import torch


class FDPVideoProcessorKwargs(TypedDict, total=False):
    """Settings of `FDPVideoProcessor`; all of them are saved with it.

    Attributes:
        num_frames (`int`): Frames per clip.
        size (`dict[str, int]` or `int`): `{"height", "width"}` of the crops in pixels; one number for squares.
        do_sample_frames (`bool`): Sample `num_frames` frames, or keep all.
        return_metadata (`bool`): Add `video_metadata` to the output.
        alignment (`str`):
            Where the five landmarks come from: "auto" (a table beside the clip, else the mesh, and the whole frame if
            the face fills it or none is found), "mesh" (the face mesh of this package), "precomputed" (a table),
            "opencv" (YuNet), "dlib", or "none" (clips are cropped already, frames are stretched to `size`).
        alignment_mode (`str`): "per_clip", one transform for all frames, or "per_frame" as in the authors' release.
        crop_scale (`float`): Side of the crop over the largest extent of the five points.
        landmark_frames (`int`):
            per_clip: frames that are searched, evenly spread, both ends included; the median of their points is used.
            The mesh searches the other frames if it finds no face.
        face (`str` or `int`): Which of several faces: "largest", or a number counted from the left, from 0.
        min_face_score (`float`): Faces with a lower score are ignored.
        missing_face (`str`):
            "error", "nearest" (frames without a face use the crop of the nearest frame with one) or "center". A clip
            in which "auto" finds no face at all keeps its whole frames with a warning, unless this is "center".
        registration (`str`):
            Motion of later frames against the first that is removed: "none", "translation", "similarity", or "auto"
            (none).
        even_light (`bool`): Equalise the exposure of all frames of a clip, and fill frames without light from their
            neighbours (see `even_light_fdp`).
        landmark_model_path (`str`): Model file of "opencv" or "dlib".
        landmarks_path (`str`):
            Table of "auto" and "precomputed"; by default `landmarks.parquet` or `.csv` beside the clip.
        video_backend (`str`): "auto", "pyav", "decord", "torchcodec" or "opencv".
        allow_truncated (`bool`): Warn, rather than fail, when a video is cut short.
        fast_jpeg (`bool`):
            Read the luma plane of JPEG frames as stored, and halve frames while decoding where the crop shrinks them
            fourfold or more: about twice as fast, and equal to within one gray level except for saturated colours.
    """

    num_frames: int
    size: dict[str, int] | int
    do_sample_frames: bool
    return_metadata: bool
    alignment: str
    alignment_mode: str
    crop_scale: float
    landmark_frames: int
    face: str | int
    min_face_score: float
    missing_face: str
    registration: str
    even_light: bool
    landmark_model_path: str | None
    landmarks_path: str | None
    video_backend: str
    allow_truncated: bool
    fast_jpeg: bool


def checked_setting(name: str, value: object) -> object:
    """Check the type of a setting, because a wrong one could act as another value and be saved.

    Args:
        name (`str`): One of `FDPVideoProcessorKwargs`.
        value (`object`): Given value.

    Returns:
        The value; a path as `str`.

    Raises:
        ValueError: If it is of another type. Ranges and names are checked where they are used.
    """
    kind = FDPVideoProcessorKwargs.__annotations__[name]
    if kind is bool:
        fits, rule = isinstance(value, bool), "True or False"
    elif kind is int:
        fits, rule = _is_whole(value), "a whole number from 1 on"
    elif kind is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        rule = "a finite number"
    elif name == "size":
        sides = [value.get(side) for side in ("height", "width")] if isinstance(value, Mapping) else [value]
        fits, rule = all(map(_is_whole, sides)), "a height and a width above 0, in whole pixels"
    elif kind == str | None:
        value = os.fspath(value) if isinstance(value, os.PathLike) else value
        fits, rule = value is None or isinstance(value, str), "a path or None"
    else:
        # `AlignmentSettings` and `CallSettings` compare names with the known ones; `face` may be a number.
        fits, rule = isinstance(value, kind), "a name"
    if not fits:
        raise ValueError(f"{name} must be {rule}, but got {value!r}; change it")
    return value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def checked_key_frame(name: str, value: object) -> int | None:
    """Convert the index of a key frame to `int`, because tables with gaps hold whole floats, and NaN where unknown.

    Args:
        name (`str`): Its name in errors.
        value (`object`): A whole number of any type, NaN or `None`.

    Returns:
        `int` or `None`: 0-based; `None` where unknown.

    Raises:
        ValueError: If it is no whole number.
    """
    if isinstance(value, np.generic | np.ndarray | torch.Tensor) and value.ndim == 0:
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
        raise ValueError(
            f"{name} must be a whole number, the 0-based index of a frame, or NaN or None where unknown, but got "
            f"{value!r}; check the coding sheet"
        )
    return int(value)
