"""The face of a recording in parts: cuts, lost faces, second people and moving heads."""

import numpy as np
import pytest
import torch

from processing_fdp.frame_arrays_fdp import FrameArray
from rendered_faces.film import render_clip
from spotting_fdp.face_stream import CUT, LOST, PEOPLE, CropSettings, FaceStream


@pytest.fixture(scope="module")
def people():
    """Two people who sit still for 1.5 seconds at 30 frames a second: `(45, 128, 128)` each."""
    return [render_clip(subject, action_units="1", seed=1, fps=30, neutral_s=1.0).frames[:45] for subject in (1, 5)]


def parts_of(frames, fps=30.0, **settings):
    stream = FaceStream(FrameArray(frames), fps, **settings)
    return stream, list(stream.parts())


def frames_of(parts):
    return [number for part in parts for number in range(part.first, part.first + len(part))]


def test_every_frame_of_one_face_is_cropped_once(people):
    frames = np.concatenate([people[0]] * 4)
    stream, parts = parts_of(frames)
    assert frames_of(parts) == list(range(180))
    assert [part.continues for part in parts] == [False, True]
    assert parts[0].crops[0].shape == (120, 64, 64) and parts[0].crops[0].dtype == torch.uint8
    assert (stream.frames_seen, stream.most_faces, stream.interruptions) == (180, 1, [])


def test_a_cut_to_another_person_ends_a_part_at_its_frame(people):
    stream, parts = parts_of(np.concatenate([people[0][:31], people[1][:30]]))
    assert [(one.frame, one.reason) for one in stream.interruptions] == [(31, CUT)]
    # The face is known again from the next tracked frame on.
    assert frames_of(parts) == [*range(31), *range(36, 61)]
    assert [part.continues for part in parts] == [False, False]


def test_a_lost_face_is_left_out_and_is_one_interruption(people):
    noise = np.random.default_rng(0).integers(0, 256, (1, 128, 128), dtype=np.uint8).repeat(20, 0)
    stream, parts = parts_of(np.concatenate([people[0][:30], noise, people[0][:30]]))
    assert {one.reason for one in stream.interruptions} <= {LOST, CUT}
    assert frames_of(parts) == [*range(30), *range(54, 80)]
    assert parts[-1].continues is False
    assert stream.frames_seen == 56


def test_a_recording_without_a_face_has_no_part():
    stream, parts = parts_of(np.full((30, 96, 96), 90, np.uint8))
    assert parts == []
    assert [one.reason for one in stream.interruptions] == [LOST]


def test_a_second_person_ends_a_part(people):
    alone = np.concatenate([people[0][:1].repeat(120, 0)])
    empty = np.full_like(alone, int(alone[0, 0, 0]))
    beside = people[1][:1].repeat(120, 0)
    frames = np.concatenate([np.concatenate([alone, empty], axis=2), np.concatenate([alone, beside], axis=2)])
    stream, parts = parts_of(frames)
    assert stream.most_faces == 2
    assert any(one.reason in (PEOPLE, CUT) and 118 <= one.frame <= 122 for one in stream.interruptions)
    # The first person is followed on.
    assert len(frames_of(parts)) >= 230


def test_the_crop_follows_a_head_that_slides_and_stays(people):
    canvas = np.full((300, 128, 150), int(people[0][0, 0, 0]), np.uint8)
    for number in range(300):
        left = min(number // 5, 12)
        canvas[number, :, left : left + 128] = people[0][0]
    stream, parts = parts_of(canvas)
    assert stream.interruptions == []
    middle = torch.cat([part.crops[0] for part in parts]).float()[:, 20:44, 20:44].flatten(1)
    # It lags while the head slides, and has it where it was before at the end.
    likeness = torch.corrcoef(middle[[0, 60, 299]])[0]
    assert likeness[2] > 0.8 > likeness[1]


def test_crops_of_several_sizes_come_together(people):
    _, parts = parts_of(people[0], crops=(CropSettings(), CropSettings((96, 80), 2.5)))
    assert [tuple(crop.shape[1:]) for crop in parts[0].crops] == [(64, 64), (96, 80)]
