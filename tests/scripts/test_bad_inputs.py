"""Clips that should not be trusted: each gets an answer with the right warning, or one clear sentence.

Faces are rendered. The network is untrained: what is judged is what stands beside its label.
"""

import math
import re
import warnings
from fractions import Fraction
from pathlib import Path

import av
import jsonschema
import numpy as np
import pytest

from modeling_fdp.clip_answer_fdp import prepare_clip
from processing_fdp import FDPVideoProcessor
from processing_fdp.video_decoders_fdp import VideoReadError
from rendered_faces.film import render_clip
from training_fdp.hub import answer_files
from training_fdp.hub.prediction import Predictor

SHARED = Path(__file__).parents[3] / "shared"
FACES = SHARED / "assets" / "ict_face_model_light"
HEIGHT, WIDTH, LEFT, TOP = 180, 240, 50, 26
LONG = r"the clip lasts \d+\.\d s, but an expression lasts 5 s"
UNCLEAR = r"no clear movement: \d\.\d\d pixels, movement score -\d+\.\d\d, below 0"
NO_FACE = r"no face in the \d+ frames that were searched"
CUT = r"the picture becomes another one between frames \d+ and \d+, by a cut"


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    import torch

    from modeling_fdp import FDPConfig, FDPForVideoClassification

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    config = FDPConfig.from_preset(
        "tiny",
        num_labels=3,
        reference="movement_patterns",
        dynamic_image_frames="along_curve",
        action_units=["12"],
        # By the size alone, because the units of an untrained network mean nothing: still below 0.35 pixels.
        movement_weights=[0.0, 1.0, -math.log(0.36)],
    )
    FDPForVideoClassification(config).save_pretrained(folder)
    FDPVideoProcessor(even_light=True).save_pretrained(folder)
    return Predictor(str(folder))


def in_scene(faces, height=HEIGHT, width=WIDTH):
    frames = np.full((len(faces), height, width), 110, np.uint8)
    frames[:, TOP : TOP + faces.shape[1], LEFT : LEFT + faces.shape[2]] = faces
    return frames


def one_person():
    return in_scene(render_clip(3, "happiness", size=128, fps=60).frames)


def another_person():
    return in_scene(render_clip(8, "surprise", size=128, fps=60).frames)


def wall(count=20):
    return np.full((count, HEIGHT, WIDTH), 110, np.uint8)


def noisy(frames):
    noise = np.random.default_rng(0).normal(0, 2, frames.shape)
    return np.clip(frames + noise, 0, 255).astype(np.uint8)


def cartoon():
    """A round yellow face with dots for eyes, whose mouth bends: no detector takes it for a person."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    frames = np.full((20, HEIGHT, WIDTH), 230, np.uint8)
    for bend, frame in enumerate(frames):
        frame[(rows - 90) ** 2 + (columns - 120) ** 2 < 60**2] = 200
        for eye in (98, 142):
            frame[(rows - 75) ** 2 + (columns - eye) ** 2 < 8**2] = 20
        mouth = np.abs(rows - 118 - 0.2 * bend * ((columns - 120) / 30) ** 2) < 3
        frame[mouth & (np.abs(columns - 120) < 30)] = 20
    return frames


def covered_mouth():
    frames = one_person()
    frames[:, 100:150, 70:160] = 150
    return frames


def blinking():
    """A clip of one person whose eyes shut in some frames, as the renderer draws a blink."""
    for seed in range(8):
        clip = render_clip(3, "happiness", seed=seed, size=128, fps=60, difficulty="wild", neutral_s=0.4)
        if clip.truth.blink.max() > 0.9:
            return in_scene(clip.frames)
    raise AssertionError("none of these seeds draws a blink")


def nodding():
    """One person whose head moves by 6 pixels of 180 and whose face does not."""
    still = in_scene(render_clip(3, "happiness", size=128, fps=60).frames[:1])
    return np.concatenate([np.roll(still, round(6 * np.sin(np.pi * step / 19)), axis=2) for step in range(20)])


def turned():
    """A face of the morphable model that is turned by 60 degrees, whose mouth corners rise and fall."""
    pytest.importorskip("numba", reason="numba is not installed: it comes with the extra [synthesis]")
    if not FACES.is_dir():
        pytest.skip("the morphable model is on the machines of the developers only")
    from rendered_faces.faces import FaceState
    from rendered_faces.morphable.face import MorphableFaces

    face = MorphableFaces(FACES).face(3, (HEIGHT, WIDTH))
    pulls = 3 * np.sin(np.pi * np.arange(18) / 17)
    states = [FaceState({(12, side): pull for side in "LR"}, yaw=60) for pull in pulls]
    return np.stack([np.rint(255 * face.render(state).clip(0, 1)).astype(np.uint8) for state in states])


def huge(height=2160, width=3840):
    """4K or 8K, as much of it face as a camera across a room sees."""
    frames = np.full((6, height, width), 110, np.uint8)
    frames[:, 500:1012, 1500:2012] = one_person()[2:14:2, TOP : TOP + 128, LEFT : LEFT + 128].repeat(4, 1).repeat(4, 2)
    return frames


# Clip, frames per second, and what must be said. An empty tuple: nothing speaks against the answer.
CASES = {
    "a good clip": (one_person, 60, ()),
    "its mirror image": (lambda: one_person()[:, :, ::-1].copy(), 60, ()),
    "4K": (huge, 60, ()),
    "8K": (lambda: huge(4320, 7680), 60, ()),
    "no face": (lambda: noisy(wall()), 60, (NO_FACE,)),
    "a cartoon": (cartoon, 60, (NO_FACE,)),
    "black frames": (lambda: np.zeros((20, HEIGHT, WIDTH), np.uint8), 60, (NO_FACE,)),
    "two faces": (
        lambda: np.concatenate([one_person()[:13], another_person()[:13]], axis=2),
        60,
        (r"2 faces are found and one of them is used",),
    ),
    "a cut": (lambda: np.concatenate([one_person()[:12], another_person()[:12]]), 60, (CUT,)),
    "a still": (lambda: one_person()[:1].repeat(20, 0), 60, (UNCLEAR,)),
    "a still with noise": (lambda: noisy(one_person()[:1].repeat(20, 0)), 60, (UNCLEAR,)),
    "a face in the last moment only": (
        lambda: np.concatenate([wall(60), one_person()]),
        60,
        (r"the face shows in 23% of the clip: only frames 60 to 77 \(1\.00 to 1\.28 s\) are judged",),
    ),
    "a face after a dark scene": (
        lambda: np.concatenate([wall(60) // 4, one_person()]),
        60,
        (r"the face shows in 23% of the clip: only frames 60 to 77",),
    ),
    "a face that comes twice": (
        lambda: np.concatenate([one_person()[:9], wall(40), one_person(), wall(20)]),
        60,
        (r"in 31% of the clip, in 2 stretches of which the longest is taken: only frames 49 to 66",),
    ),
    "a dark scene within": (
        lambda: np.concatenate([one_person()[:12], one_person()[12:] // 4]),
        60,
        (r"\d+ of the \d+ frames used are far darker or brighter",),
    ),
    "two frames": (lambda: one_person()[[0, 8]], 60, (r"the clip has 2 frames, too few",)),
    "8 frames per second": (
        lambda: one_person()[::4],
        8,
        (r"8 frames per second, too few .* half a second they are 4, of a fifth 2;",),
    ),
    "a minute": (lambda: one_person().repeat(90, 0), 25, (LONG,)),
    "a face turned by 60 degrees": (turned, 60, (rf"the head is turned by -?\d+ degrees to the side|{NO_FACE}",)),
    "a covered mouth": (covered_mouth, 60, (r"the face (shows in|is lost in)",)),
    "a blink": (blinking, 60, (r"the eyes blink in frames \d+ to \d+",)),
    "a moving head": (nodding, 60, (r"the head moves by \d\.\d pixels of the aligned frames, the skin by",)),
    "a small face": (
        lambda: one_person()[:, ::6, ::6].copy(),
        60,
        (r"the frames have 40 x 30 pixels", r"the eyes are \d pixels apart"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_doubtful_clip_gets_its_warning(predictor, name):
    make, rate, expected = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        answer = predictor.predict(make(), frames_per_second=rate)
    for pattern in expected:
        assert any(re.search(pattern, text) for text in answer.warnings), answer.warnings
    # Each sentence once, and nothing said of a good clip.
    assert len(set(answer.warnings)) == len(answer.warnings)
    assert bool(answer.warnings) is bool(expected), answer.warnings
    # No class is named of what shows no face or more than one movement; of what does not move, "neutral" is.
    nameless = {pattern: any(re.search(pattern, text) for text in answer.warnings) for pattern in (NO_FACE, LONG)}
    assert (answer.label is None) is any(nameless.values()) is bool(answer.reason)
    assert (answer.reason == "no face found") is nameless[NO_FACE]
    still = any(re.search(UNCLEAR, text) for text in answer.warnings)
    assert (answer.label == "neutral") is (still and not answer.reason)
    assert (answer.probability is None) is (still or answer.label is None)
    jsonschema.validate(answer_files.answers_document([answer], "model"), answer_files.schema())


@pytest.mark.parametrize("name", ["liveportrait_d0.mp4", "pyfeat_single_face.mp4"])
def test_a_real_face_is_found_and_followed(predictor, name):
    path = SHARED / "real_faces" / name
    if not path.is_file():
        pytest.skip("the recordings of real faces are on the machines of the developers only")
    answer = predictor.predict(str(path))
    assert answer.face.source == "mesh" and answer.face.num_faces == 1 and answer.face.share_seen == 1
    assert not answer.movement.is_still and len(answer.face.blinks) == 1
    assert not any(re.search(f"{NO_FACE}|{CUT}|lost|too few", text) for text in answer.warnings)


def test_a_face_in_the_last_moment_is_answered_like_its_part_of_the_clip(predictor):
    late = predictor.predict(np.concatenate([wall(60), one_person()]), frames_per_second=60)
    alone = predictor.predict(one_person(), frames_per_second=60)
    assert late.probabilities == alone.probabilities and late.movement.size == alone.movement.size
    assert [frame.index - 60 for frame in late.frames] == [frame.index for frame in alone.frames]
    assert late.face.share_seen == pytest.approx(18 / 78) and late.face.stretches == [(60, 77)]
    assert (late.clip.num_frames, late.clip.first_index, late.clip.last_index) == (78, 60, 77)
    assert alone.face.share_seen == 1 and alone.face.stretches == [(0, 17)]


def test_an_interval_of_the_caller_is_not_cut(predictor):
    """Of a wall and then a face, frames 50 to 77 are asked for: they are judged, and the lost face is said."""
    frames = np.concatenate([wall(60), one_person()])
    prepared = prepare_clip(predictor.processor, frames, 16, onset_index=50, offset_index=77)
    assert (prepared.clip.first_index, prepared.clip.last_index) == (50, 77)
    assert prepared.face.share_seen == pytest.approx(18 / 28) and prepared.face.stretches == [(60, 77)]


def test_chosen_frames_with_numbers_of_their_own_are_cut_and_keep_their_numbers(predictor):
    frames = np.concatenate([wall(60), one_person()])
    chosen = list(range(20, 78))
    prepared = prepare_clip(predictor.processor, frames, 16, frame_numbers=chosen)
    assert (prepared.clip.num_frames, prepared.clip.first_index, prepared.clip.last_index) == (58, 40, 57)
    times = {"fps": 60.0, "frames_indices": [100 + number for number in chosen]}
    given = prepare_clip(predictor.processor, frames, 16, frame_numbers=chosen, video_metadata=times)
    assert given.face.stretches == [(160, 177)] and (given.clip.first_index, given.clip.last_index) == (120, 177)


def test_what_is_said_of_a_clip_is_said_once(predictor):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predictor.predict(wall())
        predictor.predict(np.concatenate([wall(60), one_person()]))
    assert [str(one.message) for one in caught if issubclass(one.category, UserWarning)] == []


def test_a_mirrored_clip_moves_as_much(predictor):
    plain, mirrored = (predictor.predict(frames) for frames in (one_person(), one_person()[:, :, ::-1].copy()))
    assert mirrored.movement.size == pytest.approx(plain.movement.size, rel=0.1)
    assert mirrored.movement.apex_index == pytest.approx(plain.movement.apex_index, abs=2)


def write_video(path, frames, rate, codec="mjpeg", pixel_format="yuvj420p"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, width=WIDTH, height=HEIGHT, pix_fmt=pixel_format)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())


@pytest.mark.parametrize(("hours", "rate"), [(1, Fraction(1)), (6, Fraction(1, 60))])
def test_a_recording_of_hours_gets_no_class(predictor, tmp_path, hours, rate):
    """Hours of one frame per second or minute: 16 frames are decoded whole, and the face is not followed."""
    faces = one_person()
    count = round(hours * 3600 * rate)
    frames = (faces[number % len(faces)] for number in range(count))
    write_video(tmp_path / "hours.mp4", frames, rate, "mpeg4", "yuv420p")
    answer = predictor.predict(str(tmp_path / "hours.mp4"), frames_per_second=float(rate))
    assert any(f"the clip lasts {hours * 3600}.0 s" in text for text in answer.warnings)
    assert (answer.label, answer.probability, answer.reason) == (None, None, "longer than one expression")
    assert answer.clip.num_frames == count


@pytest.mark.parametrize("share", [0.35, 0.7, 0.95])
def test_a_video_with_a_corrupt_tail_is_refused_in_one_sentence(predictor, tmp_path, share):
    write_video(tmp_path / "whole.avi", one_person(), 60)
    content = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "torn.avi").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(VideoReadError, match=r"torn\.avi") as caught:
        predictor.predict(str(tmp_path / "torn.avi"))
    assert len(str(caught.value).splitlines()) == 1
    assert not predictor.predict(str(tmp_path / "whole.avi")).warnings
