"""Background of the head: a room instead of a wall, a swaying camera, and a passer-by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .faces import FloatArray
from .painting import bump, smooth_noise, step_at

# The room reaches beyond the frame by this share of its side, so that the camera can sway.
MARGIN = 0.2


@dataclass(frozen=True)
class Scene:
    """A background in numbers.

    Args:
        room (`int`, *optional*): seed of the room; the identity's wall when omitted.
        motion (`int`, *optional*): seed of the motion; none when omitted.
        fps (`float`): frames per second.
    """

    room: int | None
    motion: int | None
    fps: float


class Backdrop:
    """Renders a scene at one size.

    Args:
        scene (`Scene`): the scene.
        wall (`np.ndarray` of shape `(height, width)`): the identity's own wall.
    """

    def __init__(self, scene: Scene, wall: FloatArray) -> None:
        self.scene = scene
        height, width = wall.shape
        self.margin = round(MARGIN * min(height, width))
        # Only a room extends beyond the frame.
        padded = np.pad(wall, self.margin, mode="edge")
        self.canvas = padded if scene.room is None else _draw_room(np.random.default_rng(scene.room), padded)
        rng = np.random.default_rng(scene.motion)
        self.sway_hz, self.sway_phase = rng.uniform(0.1, 0.6, 4), rng.uniform(0, 2 * np.pi, 4)
        self.sway = rng.uniform(0.1, 0.5) * self.margin
        self.walks = rng.random() < 0.6
        self.start, self.speed = rng.uniform(-0.8, 0.8), rng.choice([-1, 1]) * rng.uniform(0.1, 0.8)
        self.tone, self.breadth = rng.uniform(0.03, 0.5), rng.uniform(0.08, 0.2)
        columns, rows = np.meshgrid(np.linspace(-0.5, 0.5, width), np.linspace(-0.5, 0.5, height))
        self._columns, self._rows = columns.astype(np.float32), rows.astype(np.float32)

    def picture(self, frame: int) -> FloatArray:
        """Return the luminance behind the head at a frame, float32 `(height, width)`."""
        height, width = self._columns.shape
        if self.scene.motion is None:
            return np.ascontiguousarray(self.canvas[self.margin : -self.margin, self.margin : -self.margin])
        time = frame / self.scene.fps
        waves = np.sin(2 * np.pi * self.sway_hz * time + self.sway_phase)
        across, down = self.margin + self.sway * (waves[:2] + waves[2:]) / 2
        left, top = int(across), int(down)
        x, y = np.float32(across - left), np.float32(down - top)
        part = self.canvas[top : top + height + 1, left : left + width + 1]
        upper = part[:-1, :-1] + (part[:-1, 1:] - part[:-1, :-1]) * x
        lower = part[1:, :-1] + (part[1:, 1:] - part[1:, :-1]) * x
        picture = upper + (lower - upper) * y
        if self.walks:
            # The passer-by: a dark or bright upright shape with a head, to and fro.
            place = 0.7 * np.sin(self.start + self.speed * time * 2)
            body = step_at(self.breadth - np.abs(self._columns - place), 0.03) * step_at(self._rows + 0.15, 0.05)
            cover = np.maximum(body, bump(self._columns, self._rows, place, -0.25, 0.09, 0.12) > 0.4)
            picture = picture + (np.float32(self.tone) - picture) * cover
        return picture.astype(np.float32)


def _draw_room(rng: np.random.Generator, wall: FloatArray) -> FloatArray:
    """Return a room drawn on a wall: uneven light, furniture, posters or windows, now and then a lamp."""
    height, width = wall.shape
    x, y = np.meshgrid(np.linspace(0, 1, width, dtype=np.float32), np.linspace(0, 1, height, dtype=np.float32))
    room = wall * (1 + 0.15 * smooth_noise(rng, (height, width), (4, 4)))
    for _ in range(rng.integers(3, 10)):
        left, top = rng.uniform(-0.2, 0.9, 2)
        sides = rng.uniform(0.06, 0.5, 2)
        soft = rng.uniform(0.002, 0.03)
        inside = step_at(x - left, soft) * step_at(left + sides[0] - x, soft)
        inside = inside * step_at(y - top, soft) * step_at(top + sides[1] - y, soft)
        tone = rng.uniform(0.02, 0.9)
        # A poster or the backs of books.
        stripes = rng.uniform(0.0, 0.5) * np.sin(2 * np.pi * rng.uniform(2, 25) * (x if rng.random() < 0.7 else y))
        grain = rng.uniform(0.0, 0.4) * smooth_noise(rng, (height, width), (12, 12))
        room = room + (tone * (1 + stripes + grain) - room) * inside
    if rng.random() < 0.3:
        room = room + rng.uniform(0.3, 0.9) * bump(x, y, rng.uniform(0, 1), rng.uniform(0, 0.5), 0.1, 0.1)
    return np.clip(room, 0.01, 1.0).astype(np.float32)
