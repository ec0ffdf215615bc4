"""Rows of benchmarks windows on the movement patterns alone, because training cannot restore what the input lacks."""

import numpy as np
import pytest
import torch

from benchmarks.disturbances import SHORT, Recording
from benchmarks.windows import judge
from modeling_fdp import FDPConfig
from modeling_fdp.movement_directions_fdp import fitted_directions
from modeling_fdp.movement_patterns_fdp import FDPMovementReference
from processing_fdp.crop_geometry_fdp import crop_transform, warp_frames
from processing_fdp.even_light_fdp import even_light
from rendered_faces.film import render_clip

UNITS = ("12", "1+2", "4+7")
# Least UF1 of a nearest-neighbour reader of three movements; chance is 0.33.
FLOORS = dict.fromkeys(SHORT, 0.8)


def recordings(people: range) -> list[Recording]:
    found = []
    for person in people:
        for label, units in enumerate(UNITS):
            clip = render_clip(
                person,
                action_units=units,
                seed=label,
                fps=60.0,
                difficulty="mild",
                duration_s=(0.3, 0.5),
                neutral_s=0.3,
            )
            (event,) = clip.truth.events
            crop = crop_transform(np.median(clip.truth.five_points, axis=0), (64, 64), 2.0)
            frames = warp_frames(torch.from_numpy(clip.frames), crop, (64, 64), 1.0).round().to(torch.uint8).numpy()
            key_frames = (event.onset, event.apex, event.offset)
            found.append(Recording(f"{person}/{label}", str(person), label, *key_frames, 60.0, {"as trained": frames}))
    return found


@pytest.mark.slow
def test_windows_and_light_leave_the_patterns_apart():
    reference = FDPMovementReference(FDPConfig.from_preset("tiny", reference="movement_patterns")).eval()
    reference.scorer.directions.weight.data = fitted_directions()

    @torch.no_grad()
    def seen(clip: np.ndarray) -> torch.Tensor:
        """Motion along the first curve, at one size, of unit length."""
        numbers = np.rint(np.linspace(0, len(clip) - 1, 32)).astype(int)
        frames = even_light(torch.from_numpy(clip[numbers])) / 127.5 - 1
        motion = reference(frames[None, :, None]).patterns[0, 0, 4:6].flatten()
        return motion / motion.norm()

    known = recordings(range(1, 5))
    labels = torch.tensor([recording.label for recording in known])
    kept = torch.stack([seen(rec.frames[rec.onset : rec.offset + 1]) for rec in known])

    def answer(clips: list[np.ndarray]) -> np.ndarray:
        # A fall alone comes out as the same pattern with another sign.
        alike = (torch.stack([seen(clip) for clip in clips]) @ kept.T).abs()
        return np.stack([alike[:, labels == label].mean(1) for label in range(len(UNITS))], 1)

    rows = judge(answer, recordings(range(5, 9)), len(UNITS), SHORT)
    low = {name: row["uf1"] for name, row in rows.items() if row["uf1"] < FLOORS[name]}
    assert not low
