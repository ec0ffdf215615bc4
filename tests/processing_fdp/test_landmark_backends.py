"""Where landmarks come from: tables found earlier, and detectors played by stand-ins at the import."""

import csv
import os
import sys
import types

import numpy as np
import pytest
import torch

from processing_fdp import alignment_settings_fdp, face_detectors_fdp
from processing_fdp.clip_landmarks_fdp import MissingFaceWarning
from processing_fdp.crop_geometry_fdp import (
    AlignmentError,
    FaceNotFoundError,
    centre_transform,
    crop_transform,
)
from processing_fdp.face_detectors_fdp import DetectedFace, FaceDetector, make_detector
from processing_fdp.landmark_tables_fdp import LANDMARK_COLUMNS, find_landmark_file, load_landmarks
from processing_fdp.video_processing_fdp import FDPVideoProcessor

# ---------------------------------------------------------------- tables


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
    expected = FDPVideoProcessor(alignment="none").align_clip(folder, landmarks=moving_head.landmarks).frames
    assert torch.equal(processor.align_clip(folder).frames, expected)
    assert torch.equal(processor.align_clip(str(folder)).frames, expected)
    assert torch.equal(processor.align_clip(paths, clip_id="my/clip").frames, expected)
    with pytest.raises(FaceNotFoundError, match="nobody"):
        FDPVideoProcessor(alignment="precomputed", landmarks_path=str(table)).align_clip(
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
        FDPVideoProcessor(alignment="precomputed").align_clip(np.zeros((2, 20, 20), np.uint8))
    with pytest.raises(AlignmentError, match="none at"):
        load_landmarks(str(tmp_path / "no.csv"))
    (tmp_path / "landmarks.parquet").write_bytes(b"not parquet")
    with pytest.raises(AlignmentError, match="readable"):
        load_landmarks(str(tmp_path / "landmarks.parquet"))


# ---------------------------------------------------------------- detectors


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
    monkeypatch.setitem(sys.modules, "dlib", dlib)
    yield stand
    make_detector.cache_clear()


POINTS = np.array([[40.0, 30], [60, 32], [50, 40], [44, 52], [58, 53]])


@pytest.mark.parametrize("backend", ["opencv", "dlib"])
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


@pytest.mark.parametrize("backend", ["opencv", "dlib"])
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
        opencv_processor(stand_ins).align_clip(clip_of(10, 10), clip_id="sub01/EP01")
    assert (error.value.clip, error.value.frame) == ("sub01/EP01", 0)
    stand_ins.faces = {90: [(POINTS, 0.9)]}
    with pytest.raises(FaceNotFoundError, match=r"none in frame 1 \(2 of 4\)"):
        opencv_processor(stand_ins, alignment_mode="per_frame").align_clip(clip_of(90, 10, 10, 90))


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


@pytest.mark.parametrize("backend, module", [("opencv", "cv2"), ("dlib", "dlib")])
def test_missing_module_or_model_says_what_to_do(backend, module, stand_ins, monkeypatch, tmp_path):
    with pytest.raises(AlignmentError, match="landmark_model_path="):
        make_detector(backend, None, 0.5)
    with pytest.raises(AlignmentError, match="there is no file"):
        make_detector(backend, str(tmp_path / "no.onnx"), 0.5)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(AlignmentError, match="pip install"):
        make_detector(backend, stand_ins.model, 0.4)


def test_a_detector_without_library_or_model_file_is_its_name_and_one_method(monkeypatch, stand_ins):
    class Fixed(FaceDetector):
        name = "fixed"

        def _detect(self, frame):
            return [DetectedFace(POINTS + 30, area=9.0), DetectedFace(POINTS, area=4.0, score=self.min_score - 0.1)]

    monkeypatch.setitem(face_detectors_fdp._DETECTORS, "fixed", Fixed)
    monkeypatch.setattr(alignment_settings_fdp, "ALIGNMENTS", ("fixed",))
    clip = FDPVideoProcessor(alignment="fixed").align_clip(clip_of(90, 120))
    assert clip.transforms == pytest.approx(crop_transform(POINTS + 30, (64, 64), 2.5), abs=1e-4)
    assert clip.report.source == "fixed" and clip.report.num_faces == 1


def test_real_opencv_refuses_a_file_that_is_no_model(tmp_path):
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2, "FaceDetectorYN"):
        pytest.skip("this OpenCV has no FaceDetectorYN")
    make_detector.cache_clear()
    (tmp_path / "yunet.onnx").write_bytes(b"no model")
    with pytest.raises(AlignmentError, match="does not load"):
        make_detector("opencv", str(tmp_path / "yunet.onnx"), 0.5)
