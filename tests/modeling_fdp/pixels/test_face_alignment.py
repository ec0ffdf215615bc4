"""Alignment: geometry against hand-made truth, backends against stand-ins, registration against known drift."""

import csv
import math
import os
import sys
import types

import numpy as np
import pytest
import torch

from modeling_fdp.clip_alignment_fdp import AlignmentSettings, MissingFaceWarning, align_clip
from modeling_fdp.face_alignment_fdp import (
    BORDER_VALUE,
    AlignmentError,
    FaceNotFoundError,
    centre_transform,
    crop_transform,
    frame_transform,
    resize_frames,
    warp_frames,
)
from modeling_fdp.frame_arrays_fdp import FrameArray
from modeling_fdp.frame_registration_fdp import FrameRegistration
from modeling_fdp.landmark_backends_fdp import (
    LANDMARK_COLUMNS,
    find_landmark_file,
    load_landmarks,
    make_detector,
)
from modeling_fdp.video_processing_fdp import FDPVideoProcessor
from modeling_fdp.video_reading_fdp import open_frames

FACE = np.array([[270.0, 200], [370, 207], [320, 250], [280, 300], [360, 303]])


def apply(transform, points):
    return np.asarray(points) @ transform[:, :2].T + transform[:, 2]


def inverse(transform):
    return np.linalg.inv(np.vstack([transform, [0, 0, 1]]))[:2]


def textured(count=1, height=120, width=160, seed=0):
    random = np.random.default_rng(seed)
    coarse = torch.from_numpy(random.integers(0, 256, (count, 1, height // 8, width // 8)).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")
    return smooth[:, 0].clamp(0, 255).to(torch.uint8)


# ---------------------------------------------------------------- geometry


@pytest.mark.parametrize("size_hw", [(64, 64), (128, 128), (48, 80), (1, 1)])
def test_crop_levels_the_eyes_and_spans_the_face(size_hw):
    transform = crop_transform(FACE, size_hw, 2.5)
    points = apply(inverse(transform), FACE)
    assert points[0, 1] == pytest.approx(points[1, 1]) and points[1, 0] > points[0, 0]
    extent = np.ptp(points, axis=0).max()
    assert extent * 2.5 == pytest.approx(min(size_hw))
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    assert middle == pytest.approx([(size_hw[1] - 1) / 2, (size_hw[0] - 1) / 2])
    # A similarity: right angles and equal scales.
    linear = transform[:, :2]
    assert linear.T @ linear == pytest.approx(np.eye(2) * np.linalg.det(linear))


def test_crop_follows_the_face():
    """Moving, turning and scaling the face moves the crop with it: the crop's view of the points stays."""
    reference = apply(inverse(crop_transform(FACE, (64, 64), 2.5)), FACE)
    for turn, scale, shift in [(0.3, 1.0, (0, 0)), (-2.9, 0.5, (40, -7)), (1.6, 3.0, (-100, 30))]:
        linear = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        moved = FACE @ linear.T + shift
        assert apply(inverse(crop_transform(moved, (64, 64), 2.5)), moved) == pytest.approx(reference)


def test_released_box_in_numbers():
    """Eyes level, extent 100 x 100 around (50, 50): the box is 250 pixels wide, from -75 to 175."""
    points = np.array([[0.0, 0], [100, 0], [50, 40], [10, 100], [90, 100]])
    transform = crop_transform(points, (64, 64), 2.5)
    assert apply(transform, [[-0.5, -0.5], [63.5, 63.5]]) == pytest.approx(np.array([[-75.0, -75], [175, 175]]))


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.zeros((4, 2)), np.zeros((0, 5, 2))])
def test_unusable_landmarks_are_refused(points):
    with pytest.raises(AlignmentError):
        align_clip(FrameArray(np.zeros((2, 20, 20), np.uint8)), AlignmentSettings(), landmarks=points)


# ---------------------------------------------------------------- resampling


def test_identity_changes_no_pixel():
    frames = textured(3)
    assert torch.equal(warp_frames(frames, frame_transform((120, 160), (120, 160)), (120, 160)), frames)
    assert torch.equal(resize_frames(frames, (120, 160)), frames)


@pytest.mark.parametrize("scale", [0.4, 1.0, 1.3, 2.2, 3.9, 4.4, 7.0])
@pytest.mark.parametrize("turn", [0.0, 0.1, -0.7])
def test_a_ramp_stays_the_ramp(scale, turn):
    """Any resampling kernel that is symmetric gives a linear ramp back exactly, so an offset of a pixel shows."""
    size, height, width = 24, 260, 300
    rows, columns = np.mgrid[:height, :width]
    ramp = torch.from_numpy(np.rint(columns * 0.5 + rows * 0.25).astype(np.uint8))[None]
    linear = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    middle = np.array([150.3, 130.8])
    transform = np.concatenate([linear, (middle - linear @ [11.5, 11.5])[:, None]], axis=1)
    crop = warp_frames(ramp, transform, (size, size))[0].numpy().astype(float)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1)
    place = apply(transform, grid)
    assert np.abs(crop - (place[..., 0] * 0.5 + place[..., 1] * 0.25)).max() < 0.8


def test_fine_texture_is_averaged_not_aliased():
    checker = torch.from_numpy((np.indices((240, 240)).sum(axis=0) % 2 * 255).astype(np.uint8))[None]
    for transform in (frame_transform((240, 240), (60, 60)), crop_transform(FACE / 2, (40, 40), 2.5)):
        crop = warp_frames(checker, transform, (40, 40))[0].float()
        inside = crop[8:-8, 8:-8]
        assert (inside - 127.5).abs().max() < 12


def test_outside_of_the_frame_is_mid_gray():
    frames = textured(2)
    far = frame_transform((120, 160), (32, 32))
    far[:, 2] += 10000
    assert (warp_frames(frames, far, (32, 32)) == BORDER_VALUE).all()
    half = frame_transform((120, 160), (32, 32))
    half[0, 2] -= 80
    crop = warp_frames(frames, half, (32, 32))
    assert (crop[:, :, :15] == BORDER_VALUE).all() and crop[:, :, 17:].float().std() > 10


def test_crops_do_not_depend_on_the_frames_beside_them():
    frames = textured(150, 60, 80)
    random = np.random.default_rng(0)
    base = crop_transform(FACE / 8, (16, 16), 2.5)
    each = base + random.normal(0, 0.02, (150, 2, 3))
    whole = warp_frames(frames, each, (16, 16), pitch=2.0)
    assert torch.equal(whole[70:73], warp_frames(frames[70:73], each[70:73], (16, 16), pitch=2.0))
    assert torch.equal(warp_frames(frames, base, (16, 16))[9:10], warp_frames(frames[9:10], base, (16, 16)))
    same = np.repeat(base[None], 150, axis=0)
    assert torch.equal(warp_frames(frames, same, (16, 16)), warp_frames(frames, base, (16, 16)))


@pytest.mark.parametrize("scale", [1.0, 3.0, 5.0, 9.0])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_fast_jpeg_is_close_to_the_exact_crop(suffix, scale, tmp_path, write_frames):
    frames = textured(4, 481, 643).numpy()
    write_frames(tmp_path, frames, "img{}." + suffix)
    points = np.array([[250.0, 180], [390, 184], [322, 240], [270, 320], [371, 318]])
    size = round(2.5 * 140 / scale)
    options = {"size": size, "crop_scale": 2.5}
    exact = FDPVideoProcessor(**options).align_clip(tmp_path, landmarks=points)
    fast = FDPVideoProcessor(fast_jpeg=True, **options).align_clip(tmp_path, landmarks=points)
    difference = (exact.frames.int() - fast.frames.int()).abs().float()
    assert difference.mean() < 0.25 and difference.max() <= 1
    assert np.array_equal(exact.transforms, fast.transforms)


# ---------------------------------------------------------------- registration


def drifted_clip(head, count=9, drift=5.0, turn=0.0, scale=0.0, mouth=0.0, flicker=0.0):
    times = np.arange(count)
    motions = [
        head.matrix(
            shift=(drift * math.sin(t / 2), 0.7 * drift * (math.cos(t / 3) - 1)),
            turn=turn * math.sin(t / 2),
            scale=1 + scale * math.sin(t / 3),
        )
        for t in times
    ]
    frames = [
        head.frame(motion, gain=1 + flicker * math.sin(3 * t), mouth=mouth * math.sin(math.pi * t / (count - 1)))
        for t, motion in zip(times, motions, strict=True)
    ]
    return torch.from_numpy(np.stack(frames)), motions


def residual_drift(head, estimated, motions):
    """Distance in frame pixels between where the five points are and where they are believed to be, per frame."""
    errors = [
        np.linalg.norm(apply(guess, head.landmarks) - head.moved_landmarks(truth), axis=1).mean()
        for guess, truth in zip(estimated, motions, strict=True)
    ]
    return np.array(errors[1:])


@pytest.mark.parametrize(
    "model, nuisance",
    [
        ("translation", {}),
        ("translation", {"mouth": 3.0, "flicker": 0.2}),
        ("translation", {"drift": 15.0}),
        ("similarity", {}),
        ("similarity", {"turn": 0.05, "scale": 0.03}),
        ("similarity", {"turn": 0.05, "scale": 0.03, "mouth": 3.0, "flicker": 0.2}),
    ],
)
def test_registration_leaves_less_than_a_tenth_of_a_pixel(model, nuisance, moving_head):
    frames, motions = drifted_clip(moving_head, **nuisance)
    crop = crop_transform(moving_head.landmarks, (64, 64), 2.0)
    registration = FrameRegistration(frames[0], crop, (64, 64), model)
    estimated = registration.register(frames)
    drift = residual_drift(moving_head, [np.eye(3)[:2]] * len(motions), motions)
    residual = residual_drift(moving_head, estimated, motions)
    assert np.median(drift) > 1
    assert np.median(residual) < 0.1 and residual.max() < 0.3, residual
    assert np.abs(estimated[0] - np.eye(3)[:2]).max() < 1e-3


def test_still_background_does_not_hold_the_head_back(moving_head):
    """The head is an oval of its own texture before a wall that is textured as well and does not move."""
    wall = moving_head.frame(moving_head.matrix(shift=(500, 300)), noise=0).astype(float)
    _, motions = drifted_clip(moving_head, count=7, turn=0.03)
    frames = []
    for motion in motions:
        head = moving_head.frame(motion).astype(float)
        place = apply(inverse(motion), moving_head.pixels) - moving_head.landmarks.mean(axis=0)
        oval = 1 / (1 + np.exp(30 * (np.hypot(place[..., 0] / 42, place[..., 1] / 54) - 1)))
        frames.append(np.clip(oval * head + (1 - oval) * wall, 0, 255).astype(np.uint8))
    crop = crop_transform(moving_head.landmarks, (64, 64), 2.5)
    frames = torch.from_numpy(np.stack(frames))
    residual = residual_drift(
        moving_head, FrameRegistration(frames[0], crop, (64, 64), "similarity").register(frames), motions
    )
    assert np.median(residual) < 0.1 and residual.max() < 0.3, residual


def test_registered_clip_stands_still(moving_head):
    frames, _ = drifted_clip(moving_head, turn=0.04)
    clip = FrameArray(frames.numpy())
    crops = {}
    for registration in ("none", "similarity"):
        settings = AlignmentSettings(registration=registration, crop_scale=2.0)
        crops[registration] = align_clip(clip, settings, landmarks=moving_head.landmarks).frames.float()
    motion = {name: (crop[1:] - crop[0]).abs().mean().item() for name, crop in crops.items()}
    assert motion["similarity"] < 3 < 10 < motion["none"]


def test_registration_of_a_part_equals_the_whole_in_any_chunks(moving_head, monkeypatch):
    frames, _ = drifted_clip(moving_head)
    clip = FrameArray(frames.numpy())
    settings = AlignmentSettings(registration="translation")
    whole = align_clip(clip, settings, landmarks=moving_head.landmarks)
    part = align_clip(clip, settings, np.array([0, 3, 8]), landmarks=moving_head.landmarks)
    assert torch.equal(part.frames, whole.frames[[0, 3, 8]])
    assert np.array_equal(part.transforms, whole.transforms[[0, 3, 8]])
    monkeypatch.setattr("modeling_fdp.frame_source_fdp.CHUNK_BYTES", 160 * 200 * 2)
    chunked = align_clip(clip, settings, landmarks=moving_head.landmarks)
    assert (chunked.frames.int() - whole.frames.int()).abs().max() <= 1


def test_registration_of_frames_without_texture_moves_nothing():
    frames = torch.full((4, 60, 60), 90, dtype=torch.uint8)
    for model in ("translation", "similarity"):
        motion = FrameRegistration(frames[0], frame_transform((60, 60), (32, 32)), (32, 32), model).register(frames)
        assert np.abs(motion - np.eye(3)[:2]).max() < 1e-3


def test_registration_refuses_per_frame_crops():
    settings = AlignmentSettings(alignment_mode="per_frame", registration="translation")
    points = np.repeat(FACE[None] / 8, 2, axis=0)
    with pytest.raises(AlignmentError, match="registration"):
        align_clip(FrameArray(np.zeros((2, 60, 80), np.uint8)), settings, landmarks=points)


# ---------------------------------------------------------------- landmarks given or found earlier


def test_median_of_landmarks_ignores_a_slip(moving_head):
    frames = FrameArray(np.repeat(moving_head.frame(moving_head.matrix())[None], 5, axis=0))
    points = np.repeat(moving_head.landmarks[None], 5, axis=0)
    points[2] += 70
    steady = align_clip(frames, AlignmentSettings(), landmarks=moving_head.landmarks)
    slipped = align_clip(frames, AlignmentSettings(), landmarks=points)
    assert torch.equal(steady.frames, slipped.frames)


def test_per_frame_follows_each_frame(moving_head):
    frames, motions = drifted_clip(moving_head, turn=0.05)
    points = np.stack([moving_head.moved_landmarks(motion) for motion in motions])
    settings = AlignmentSettings(alignment_mode="per_frame", crop_scale=2.0)
    aligned = align_clip(FrameArray(frames.numpy()), settings, landmarks=points)
    assert aligned.transforms.shape == (9, 2, 3)
    assert (aligned.frames[1:].float() - aligned.frames[0].float()).abs().mean() < 3
    part = align_clip(FrameArray(frames.numpy()), settings, np.array([2, 7]), landmarks=points)
    assert torch.equal(part.frames, aligned.frames[[2, 7]])
    with pytest.raises(AlignmentError, match="each of its 9 frames"):
        align_clip(FrameArray(frames.numpy()), settings, landmarks=points[:4])


def write_table(path, rows):
    if path.suffix == ".csv":
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(LANDMARK_COLUMNS)
            writer.writerows(rows)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        columns = dict(zip(LANDMARK_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
        parquet.write_table(pyarrow.table(columns), path)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("beside", ["in_folder", "in_parent", "by_path"])
def test_precomputed_landmarks_are_found_by_clip(suffix, beside, tmp_path, write_frames, moving_head):
    folder = tmp_path / "sub01" / "EP02_01f"
    paths = write_frames(folder, np.stack([moving_head.frame(moving_head.matrix())] * 3))
    place = {"in_folder": folder, "in_parent": folder.parent, "by_path": tmp_path}[beside]
    table = place / f"landmarks.{suffix}"
    rows = [["other", -1, *np.arange(10.0)], ["EP02_01f", 2, *moving_head.landmarks.flatten()]]
    rows += [["EP02_01f", 0, *moving_head.landmarks.flatten()], ["my/clip", -1, *moving_head.landmarks.flatten()]]
    write_table(table, rows)
    options = {"landmarks_path": str(table)} if beside == "by_path" else {}
    processor = FDPVideoProcessor(alignment="precomputed", **options)
    expected = FDPVideoProcessor().prepare_clip(folder, landmarks=moving_head.landmarks)
    assert torch.equal(processor.prepare_clip(folder), expected)
    assert torch.equal(processor.prepare_clip(str(folder)), expected)
    assert torch.equal(processor.prepare_clip(paths, clip_id="my/clip"), expected)
    with pytest.raises(FaceNotFoundError, match="nobody"):
        FDPVideoProcessor(alignment="precomputed", landmarks_path=str(table)).prepare_clip(
            np.zeros((2, 20, 20), np.uint8), clip_id="nobody"
        )


def test_changed_table_is_read_again(tmp_path):
    table = tmp_path / "landmarks.csv"
    write_table(table, [["a", -1, *np.arange(10.0)]])
    assert load_landmarks(str(table))["a"].points[0, 0].tolist() == [0, 1]
    write_table(table, [["a", -1, *np.arange(10.0) + 5]])
    os.utime(table, ns=(1, 1))
    assert load_landmarks(str(table))["a"].points[0, 0].tolist() == [5, 6]


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "needs the columns"),
        (b"clip_id,frame_index\na,0\n", "left_eye_x"),
        (",".join(LANDMARK_COLUMNS).encode() + b"\na,0,1,2,x,4,5,6,7,8,9,10\n", "holds numbers"),
        (",".join(LANDMARK_COLUMNS).encode() + b"\na,0,1,2,nan,4,5,6,7,8,9,10\n", "finite"),
        (",".join(LANDMARK_COLUMNS).encode() + b"\na,0,1\n", "finite"),
        (b"\xff\xfe\x00", "readable"),
    ],
)
def test_unusable_tables_are_refused(content, words, tmp_path):
    table = tmp_path / "landmarks.csv"
    table.write_bytes(content)
    with pytest.raises(AlignmentError, match=words):
        load_landmarks(str(table))


def test_missing_table_says_what_to_give(tmp_path):
    assert find_landmark_file(str(tmp_path)) is None
    with pytest.raises(AlignmentError, match="landmarks_path="):
        FDPVideoProcessor(alignment="precomputed").prepare_clip(np.zeros((2, 20, 20), np.uint8))
    with pytest.raises(AlignmentError, match="none at"):
        load_landmarks(str(tmp_path / "no.csv"))
    (tmp_path / "landmarks.parquet").write_bytes(b"not parquet")
    with pytest.raises(AlignmentError, match="readable"):
        load_landmarks(str(tmp_path / "landmarks.parquet"))


# ---------------------------------------------------------------- detectors, by stand-ins at the import


class StandIns:
    """What the four libraries would answer; `faces` holds (five points, score) per frame, keyed by its mean gray."""

    def __init__(self):
        self.faces = {}
        self.seen = []

    def look(self, frame):
        self.seen.append(frame.copy())
        return self.faces.get(round(float(frame.mean())), [])


@pytest.fixture
def stand_ins(monkeypatch, tmp_path):
    make_detector.cache_clear()
    stand = StandIns()
    stand.model = str(tmp_path / "model.bin")
    (tmp_path / "model.bin").write_bytes(b"model")

    class YuNet:
        @staticmethod
        def create(model, config, input_size, score_threshold):
            assert model == stand.model and config == ""
            return YuNet()

        def setInputSize(self, size_wh):
            self.size_wh = size_wh

        def detect(self, image):
            assert image.shape[1::-1] == self.size_wh and image.flags.c_contiguous
            rows = [
                [points[:, 0].min(), points[:, 1].min(), *np.ptp(points, axis=0), *points.flatten(), score]
                for points, score in stand.look(image[:, :, ::-1])
            ]
            return 1, np.array(rows, np.float32) if rows else None

    cv2 = types.SimpleNamespace(FaceDetectorYN=YuNet, error=RuntimeError)

    class Landmarker:
        @staticmethod
        def create_from_options(options):
            assert options["base_options"] == {"model_asset_path": stand.model}
            return Landmarker()

        def detect(self, image):
            meshes = []
            height, width = image["data"].shape[:2]
            for points, _ in stand.look(image["data"]):
                mesh = [types.SimpleNamespace(x=points[2, 0] / width, y=points[2, 1] / height)] * 478
                for index, point in zip((33, 133, 362, 263, 1, 61, 291), points[[0, 0, 1, 1, 2, 3, 4]], strict=True):
                    mesh[index] = types.SimpleNamespace(x=(point[0] + 0.5) / width, y=(point[1] + 0.5) / height)
                meshes.append(mesh)
            return types.SimpleNamespace(face_landmarks=meshes)

    vision = types.SimpleNamespace(FaceLandmarkerOptions=lambda **options: options, FaceLandmarker=Landmarker)
    mediapipe = types.SimpleNamespace(
        tasks=types.SimpleNamespace(vision=vision, BaseOptions=lambda **options: options),
        Image=lambda **values: values,
        ImageFormat=types.SimpleNamespace(SRGB=1),
    )

    class Box:
        def __init__(self, points):
            self.points = points

        def width(self):
            return int(np.ptp(self.points[:, 0]))

        def height(self):
            return int(np.ptp(self.points[:, 1]))

    def predictor(path):
        assert path == stand.model

        def predict(frame, box):
            all_points = np.zeros((68, 2))
            all_points[36:42], all_points[42:48] = box.points[0], box.points[1]
            all_points[[30, 48, 54]] = box.points[2:]
            parts = [types.SimpleNamespace(x=int(x), y=int(y)) for x, y in all_points]
            return types.SimpleNamespace(num_parts=68, part=lambda i: parts[i])

        return predict

    def frontal(frame, upsampling):
        assert upsampling == 1
        return [Box(points) for points, _ in stand.look(frame)]

    dlib = types.SimpleNamespace(get_frontal_face_detector=lambda: frontal, shape_predictor=predictor)
    monkeypatch.setitem(sys.modules, "cv2", cv2)
    monkeypatch.setitem(sys.modules, "mediapipe", mediapipe)
    monkeypatch.setitem(sys.modules, "dlib", dlib)
    yield stand
    make_detector.cache_clear()


POINTS = np.array([[40.0, 30], [60, 32], [50, 40], [44, 52], [58, 53]])


@pytest.mark.parametrize("backend", ["opencv", "mediapipe", "dlib"])
def test_detectors_give_the_five_points_in_order(backend, stand_ins):
    """dlib's predictor answers in whole pixels, so the points here are whole."""
    stand_ins.faces = {90: [(POINTS, 0.9)]}
    frame = np.full((80, 100, 3), 90, np.uint8)
    frame[..., 0] = 100
    frame[..., 2] = 80
    detector = make_detector(backend, stand_ins.model, 0.5)
    (face,) = detector.detect(frame)
    assert face.landmarks == pytest.approx(POINTS, abs=1e-4)
    assert np.array_equal(stand_ins.seen[0], frame), "detectors get RGB"
    assert detector.detect(np.zeros((80, 100, 3), np.uint8)) == []


@pytest.mark.parametrize("backend", ["opencv", "mediapipe", "dlib"])
def test_detected_clip_is_cropped_as_with_given_landmarks(backend, stand_ins):
    frames = np.full((12, 80, 100), 90, np.uint8)
    stand_ins.faces = {90: [(POINTS, 0.9)]}
    processor = FDPVideoProcessor(alignment=backend, landmark_model_path=stand_ins.model)
    clip = processor.align_clip(frames)
    assert clip.track.frame_indices.tolist() == [0, 3, 6, 8, 11]
    assert clip.transforms == pytest.approx(crop_transform(POINTS, (64, 64), 2.5), abs=1e-4)


def clip_of(*levels):
    return np.stack([np.full((80, 100), level, np.uint8) for level in levels])


def opencv_processor(stand_ins, **options):
    return FDPVideoProcessor(alignment="opencv", landmark_model_path=stand_ins.model, **options)


def test_largest_face_or_the_one_asked_for(stand_ins):
    small, large = POINTS * 0.5, POINTS + np.array([30, 5])
    stand_ins.faces = {90: [(large, 0.9), (small, 0.8)]}
    frames = clip_of(90, 90)

    def centre(**options):
        return opencv_processor(stand_ins, **options).align_clip(frames).track.points.mean(axis=(0, 1))

    assert centre() == pytest.approx(large.mean(axis=0))
    assert centre(face=0) == pytest.approx(small.mean(axis=0))
    assert centre(face=1) == pytest.approx(large.mean(axis=0))
    with pytest.raises(FaceNotFoundError, match=r"face=2 needs 3 faces.*shows 2 in frame 0"):
        centre(face=2)


def test_chosen_face_is_followed_although_another_grows(stand_ins):
    ours, theirs = POINTS, POINTS + np.array([35, 0])
    stand_ins.faces = {90: [(ours, 0.9), (theirs * 0.9, 0.9)], 120: [(ours * 0.9, 0.9), (theirs * 1.1, 0.9)]}
    track = opencv_processor(stand_ins).align_clip(clip_of(90, 120, 120)).track
    assert np.abs(track.points.mean(axis=1) - ours.mean(axis=0)).max() < 8


def test_low_scores_are_passed_over(stand_ins):
    stand_ins.faces = {90: [(POINTS, 0.6)]}
    assert opencv_processor(stand_ins).align_clip(clip_of(90)).track is not None
    with pytest.raises(FaceNotFoundError):
        opencv_processor(stand_ins, min_face_score=0.7).align_clip(clip_of(90))


def test_no_face_names_the_clip_and_the_frame(stand_ins):
    with pytest.raises(FaceNotFoundError, match=r"'sub01/EP01'.*frame 0") as error:
        opencv_processor(stand_ins).prepare_clip(clip_of(10, 10), clip_id="sub01/EP01")
    assert (error.value.clip, error.value.frame) == ("sub01/EP01", 0)
    stand_ins.faces = {90: [(POINTS, 0.9)]}
    with pytest.raises(FaceNotFoundError, match=r"none in frame 1 \(2 of 4\)"):
        opencv_processor(stand_ins, alignment_mode="per_frame").prepare_clip(clip_of(90, 10, 10, 90))


def test_policies_for_frames_without_a_face(stand_ins):
    stand_ins.faces = {90: [(POINTS, 0.9)], 100: [(POINTS + 6, 0.9)]}
    nearest = opencv_processor(stand_ins, alignment_mode="per_frame", missing_face="nearest")
    with pytest.warns(MissingFaceWarning, match="3 of 5"):
        clip = nearest.align_clip(clip_of(90, 10, 10, 10, 100))
    expected = [crop_transform(POINTS + shift, (64, 64), 2.5) for shift in (0, 0, 0, 6, 6)]
    assert clip.transforms == pytest.approx(np.stack(expected), abs=1e-4)
    with pytest.warns(MissingFaceWarning, match="middle of the frame"):
        middle = opencv_processor(stand_ins, missing_face="center").align_clip(clip_of(10, 10))
    assert middle.track is None and middle.transforms == pytest.approx(centre_transform((80, 100), (64, 64)))
    # One frame with a face is enough for one transform per clip.
    assert opencv_processor(stand_ins).align_clip(clip_of(10, 10, 90)).track.frame_indices.tolist() == [2]


@pytest.mark.parametrize("backend, module", [("opencv", "cv2"), ("mediapipe", "mediapipe"), ("dlib", "dlib")])
def test_missing_module_or_model_says_what_to_do(backend, module, stand_ins, monkeypatch, tmp_path):
    with pytest.raises(AlignmentError, match="landmark_model_path="):
        make_detector(backend, None, 0.5)
    with pytest.raises(AlignmentError, match="there is no file"):
        make_detector(backend, str(tmp_path / "no.onnx"), 0.5)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(AlignmentError, match="pip install"):
        make_detector(backend, stand_ins.model, 0.4)


def test_real_opencv_refuses_a_file_that_is_no_model(tmp_path):
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2, "FaceDetectorYN"):
        pytest.skip("this OpenCV has no FaceDetectorYN")
    make_detector.cache_clear()
    (tmp_path / "yunet.onnx").write_bytes(b"no model")
    with pytest.raises(AlignmentError, match="does not load"):
        make_detector("opencv", str(tmp_path / "yunet.onnx"), 0.5)


def test_box_becomes_five_points_and_is_registered(monkeypatch, moving_head):
    """The cascade's boxes jump by pixels; one transform and registration keep the crop steady."""
    feature = pytest.importorskip("skimage.feature")
    make_detector.cache_clear()
    calls = []

    class Cascade:
        def __init__(self, path):
            assert path.endswith(".xml")

        def detect_multi_scale(self, image, scale_factor, step_ratio, min_size, max_size, min_neighbor_number):
            calls.append(image.shape)
            jump = len(calls) % 3
            return [{"r": 40 + jump, "c": 60 - jump, "width": 80, "height": 80}]

    monkeypatch.setattr(feature, "Cascade", Cascade)
    frames, _ = drifted_clip(moving_head, turn=0.03)
    clip = FDPVideoProcessor(alignment="box").align_clip(frames)
    make_detector.cache_clear()
    assert len(calls) == 5 and clip.transforms.shape == (9, 2, 3)
    assert (clip.frames[1:].float() - clip.frames[0].float()).abs().mean() < 3
    points = clip.track.points[0]
    assert points[0, 0] < points[2, 0] < points[1, 0] and points[0, 1] < points[2, 1] < points[3, 1]


def test_real_cascade_finds_no_face_in_noise_or_in_a_tiny_frame():
    pytest.importorskip("skimage.feature")
    make_detector.cache_clear()
    detector = make_detector("box", None, 0.5)
    random = np.random.default_rng(0)
    assert detector.detect(random.integers(0, 256, (90, 120, 3), dtype=np.uint8)) == []
    assert detector.detect(np.zeros((10, 12, 3), np.uint8)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"alignment": "yolo"},
        {"alignment_mode": "per_day"},
        {"missing_face": "pray"},
        {"registration": "full"},
        {"crop_scale": 0.0},
        {"landmark_frames": 0},
        {"face": "smallest"},
        {"face": -1},
        {"size": {"height": 0, "width": 64}},
        {"video_backend": "vlc"},
        {"num_frames": 0},
    ],
)
def test_wrong_settings_fail_at_once(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FDPVideoProcessor(**wrong)


def test_long_clip_is_aligned_in_bounded_memory(monkeypatch, moving_head):
    """10,000 frames in chunks: what is held at once is a chunk and the crops."""
    monkeypatch.setattr("modeling_fdp.frame_source_fdp.CHUNK_BYTES", 40 * 50 * 100)
    frames = np.broadcast_to(np.arange(50, dtype=np.uint8), (10_000, 40, 50))
    longest = 0

    with open_frames(frames) as source:
        original = source.read

        def read(indices):
            nonlocal longest
            longest = max(longest, len(indices))
            return original(indices)

        source.read = read
        aligned = align_clip(source, AlignmentSettings(size_hw=(8, 8)), landmarks=moving_head.landmarks / 4)
    assert aligned.frames.shape == (10_000, 8, 8) and longest == 100
