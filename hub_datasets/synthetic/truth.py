"""Exact motion of rendered clips, from the tree that they lie in: every two frames, not only onset and apex.

A tree stores the flow from onset to apex. All else follows from its settings, by which the face is built again and
moved, without rendering a frame.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hub_datasets.errors import CorpusOptionError
from hub_datasets.records import RENDERED_MANIFEST
from rendered_faces.faces import Face, FloatArray
from rendered_faces.motion import Performance
from rendered_faces.variations import Variations

from .layouts import LAYOUTS, FiledRecording, TreeLayout
from .settings import GENERATOR_VERSION, CorpusSettings
from .tree import built_face


@dataclass
class ClipTruth:
    """Exact geometry of the frames of one clip, in pixels of the rendered frames.

    Args:
        face (`Face`): The face.
        performance (`Performance`): Its script.
        positions (`tuple` of `int`): Each frame's position in the recording, 0-based.
    """

    face: Face
    performance: Performance
    positions: tuple[int, ...]

    def flow(self, start: int, end: int) -> FloatArray:
        """Return the motion of the skin between two frames of the clip.

        Args:
            start (`int`): 0-based frame whose pixels are followed.
            end (`int`): Frame to which they move.

        Returns:
            `np.ndarray` of shape `(height, width, 2)`: float32, displacement (x, y) in pixels; 0 on the background.
        """
        states = (self.performance.state(self.positions[frame]) for frame in (start, end))
        return self.face.flow(*states)

    @cached_property
    def five_points(self) -> FloatArray:
        """The points of the alignment in every frame (`np.ndarray` of shape `(num_frames, 5, 2)`), pixels (x, y)."""
        return np.stack([self.face.five_points(self.performance.state(position)) for position in self.positions])

    @cached_property
    def points_68(self) -> FloatArray | None:
        """Points in the order of 300-W (`np.ndarray` of shape `(num_frames, 68, 2)`), which morphable faces have."""
        if len(self.face.landmark_names) != 68:
            return None
        return np.stack([self.face.landmarks(self.performance.state(position)) for position in self.positions])


@dataclass
class RenderedTree:
    """A tree that [`write_tree`] rendered, with the means to move its faces again.

    Args:
        root (`Path`): Its folder.
        face_model (`Path`, *optional*): Folder of the morphable model that it was rendered with.

    Raises:
        CorpusOptionError: it was rendered by another generator, or with a morphable model that was not given.
    """

    root: Path
    face_model: Path | None = None
    settings: CorpusSettings = field(init=False)
    layout: TreeLayout = field(init=False)

    def __post_init__(self) -> None:
        manifest = json.loads((self.root / RENDERED_MANIFEST).read_text(encoding="utf-8"))
        if manifest.get("generator_version") != GENERATOR_VERSION:
            raise CorpusOptionError(
                f"exact motion needs a tree of generator {GENERATOR_VERSION}, but {self.root} is of "
                f"{manifest.get('generator_version')}: render it again, or estimate the motion."
            )
        if self.face_model is not None and not self.face_model.is_dir():
            raise CorpusOptionError(
                f"a face model is a folder, but {self.face_model} is none: give the folder of the model with which "
                f"{self.root} was rendered, or estimate the motion."
            )
        self.settings = _settings(manifest["settings"], self.face_model)
        if self.settings.digest() != manifest["digest"]:
            raise CorpusOptionError(
                f"{self.root} was rendered with another face model than {self.face_model or 'the built-in faces'}: "
                "give the folder of the model that it was rendered with, or estimate the motion."
            )
        self.layout = LAYOUTS[manifest["layout"]]()

    @cached_property
    def _recordings(self) -> dict[str, FiledRecording]:
        return {filed.folder: filed for filed in self.layout.file(self.settings)}

    def clip(self, frames: Sequence[str]) -> ClipTruth:
        """Return the truth of a clip of this tree.

        Args:
            frames (`Sequence[str]`): Paths of its frames.

        Raises:
            CorpusOptionError: they are no frames of one recording of this tree.
        """
        filed, performance, positions = self.locate(frames)
        return ClipTruth(built_face(self.settings, filed.plan.face_seed), performance, positions)

    def locate(self, frames: Sequence[str]) -> tuple[FiledRecording, Performance, tuple[int, ...]]:
        """Find the recording of a clip, its script and the positions of its frames; no face is built.

        Args:
            frames (`Sequence[str]`): Paths of its frames.

        Raises:
            CorpusOptionError: they are no frames of one recording of this tree.
        """
        folder = Path(frames[0]).parent
        filed = self._recordings.get(folder.relative_to(self.root).as_posix())
        if filed is None:
            raise CorpusOptionError(
                f"{folder} is no recording of the rendered tree {self.root}: give a clip of that tree."
            )
        performance = self.settings.performance(filed.plan)
        names = [
            self.layout.frame_name(filed, filed.first_number + position) for position in range(performance.num_frames)
        ]
        places = {name: position for position, name in enumerate(names)}
        try:
            positions = tuple(places[Path(frame).name] for frame in frames)
        except KeyError as error:
            raise CorpusOptionError(
                f"{folder} holds {len(names)} rendered frames, but {error} is none of them: give the frames as they "
                "were rendered."
            ) from None
        return filed, performance, positions


def find_rendered_root(frame: str) -> Path | None:
    """Return the rendered tree that a frame lies in (`Path`), `None` where it lies in none."""
    return next((folder for folder in Path(frame).parents if (folder / RENDERED_MANIFEST).is_file()), None)


def _settings(stored: dict[str, Any], face_model: Path | None) -> CorpusSettings:
    known = {entry.name for entry in fields(CorpusSettings)} & stored.keys()
    values: dict[str, Any] = {
        name: tuple(stored[name]) if isinstance(stored[name], list) else stored[name] for name in known
    }
    if stored["variations"] is not None:
        values["variations"] = Variations(**stored["variations"])
    # The manifest says only whether there was a face model.
    values["face_model"] = str(face_model) if stored["face_model"] and face_model is not None else None
    return CorpusSettings(**values)
