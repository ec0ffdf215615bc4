"""Clips that should not be trusted: each gets an answer with the right warning, or one clear sentence.

Faces are rendered. The network is untrained: what is judged is what stands beside its label.
"""

import re
import warnings
from pathlib import Path

import av
import jsonschema
import numpy as np
import pytest

from processing_fdp import FDPVideoProcessor
from processing_fdp.video_decoders_fdp import VideoReadError
from rendered_faces.film import render_clip
from training_fdp.hub import answer_files
from training_fdp.hub.prediction import Predictor

HEIGHT, WIDTH, LEFT, TOP = 180, 240, 50, 26
UNCLEAR = r"no clear movement: \d\.\d\d pixels, below the 0\.35 of noise"
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
        least_movement=0.35,
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


def huge():
    """3840 x 2160 pixels, as much of them face as a camera across a room sees."""
    frames = np.full((6, 2160, 3840), 110, np.uint8)
    frames[:, 500:1012, 1500:2012] = one_person()[2:14:2, TOP : TOP + 128, LEFT : LEFT + 128].repeat(4, 1).repeat(4, 2)
    return frames


# Clip, frames per second, and what must be said. An empty tuple: nothing speaks against the answer.
CASES = {
    "a good clip": (one_person, 60, ()),
    "its mirror image": (lambda: one_person()[:, :, ::-1].copy(), 60, ()),
    "4K": (huge, 60, ()),
    "no face": (lambda: noisy(wall()), 60, (NO_FACE, UNCLEAR)),
    "a cartoon": (cartoon, 60, (NO_FACE,)),
    "black frames": (lambda: np.zeros((20, HEIGHT, WIDTH), np.uint8), 60, (NO_FACE, UNCLEAR)),
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
        (r"the face shows in 1 of the 5 frames .* give the part that shows it", CUT),
    ),
    "a face after a dark scene": (
        lambda: np.concatenate([wall(60) // 4, one_person()]),
        60,
        (r"the face shows in 1 of the 5 frames", UNCLEAR, r"\d+ of the \d+ frames used are far darker or brighter"),
    ),
    "two frames": (lambda: one_person()[[0, 8]], 60, (r"the clip has 2 frames, too few",)),
    "8 frames per second": (
        lambda: one_person()[::4],
        8,
        (r"8 frames per second, too few .* half a second they are 4, of a fifth 2;",),
    ),
    "a minute": (lambda: one_person().repeat(90, 0), 25, (r"the clip lasts 6\d\.\d s, but an expression lasts 5 s",)),
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
    # A smile behind a hand is neutral or not, but never without its reason.
    assert (answer.label == "neutral") is any(re.search(UNCLEAR, text) for text in answer.warnings)
    jsonschema.validate(answer_files.answers_document([answer], "model"), answer_files.schema())


@pytest.mark.parametrize("name", ["liveportrait_d0.mp4", "pyfeat_single_face.mp4"])
def test_a_real_face_is_found_and_followed(predictor, name):
    path = Path(__file__).parents[3] / "shared" / "real_faces" / name
    if not path.is_file():
        pytest.skip("the recordings of real faces are on the machines of the developers only")
    answer = predictor.predict(str(path))
    assert answer.face.source == "mesh" and answer.face.num_faces == 1 and answer.face.share_seen == 1
    assert not answer.movement.is_still and len(answer.face.blinks) == 1
    assert not any(re.search(f"{NO_FACE}|{CUT}|lost|too few", text) for text in answer.warnings)


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


def test_a_recording_of_an_hour_is_answered_soon_and_called_too_long(predictor, tmp_path):
    """An hour of one frame per second: 16 frames are decoded whole, and the face is not followed."""
    faces = one_person()
    frames = (faces[number % len(faces)] for number in range(3600))
    write_video(tmp_path / "hour.mp4", frames, 1, "mpeg4", "yuv420p")
    answer = predictor.predict(str(tmp_path / "hour.mp4"))
    assert any("the clip lasts 3600.0 s" in text for text in answer.warnings)
    assert answer.face.blinks is None and answer.clip.num_frames == 3600


@pytest.mark.parametrize("share", [0.35, 0.7, 0.95])
def test_a_video_with_a_corrupt_tail_is_refused_in_one_sentence(predictor, tmp_path, share):
    write_video(tmp_path / "whole.avi", one_person(), 60)
    content = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "torn.avi").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(VideoReadError, match=r"torn\.avi") as caught:
        predictor.predict(str(tmp_path / "torn.avi"))
    assert len(str(caught.value).splitlines()) == 1
    assert not predictor.predict(str(tmp_path / "whole.avi")).warnings
