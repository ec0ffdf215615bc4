"""The face mesh against MediaPipe's own answers, rendered faces with exact points, and pictures without a face."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from processing_fdp.clip_landmarks_fdp import MissingFaceWarning
from processing_fdp.crop_geometry_fdp import AlignmentError, FaceNotFoundError
from processing_fdp.face_detectors_fdp import POINTS_OF_68
from processing_fdp.face_mesh_fdp import FaceMeshDetector, FaceSquare, five_of_mesh
from processing_fdp.face_networks_fdp import WEIGHTS_NAME, load_face_networks, packaged_weights
from processing_fdp.face_track_fdp import FaceFollower, FaceTrack, track_face
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from rendered_faces.faces import FaceState
from rendered_faces.procedural.face import ProceduralFaces

GOLDEN = Path(__file__).parents[1] / "artifacts" / "golden_face_mesh.npz"
REAL_FACES = Path(__file__).parents[3] / "shared" / "real_faces"
GRAY = 110


@pytest.fixture(scope="module")
def detector():
    return FaceMeshDetector()


def rendered(seed=3, size=160, **state):
    """One face: uint8 (size, size) and its exact five points."""
    face = ProceduralFaces().face(seed, (size, size))
    picture = np.sqrt(np.clip(face.render(FaceState(**state)), 0, 1))
    return (picture * 255).astype(np.uint8), face.five_points(FaceState(**state)).astype(np.float64)


def scene(picture, top_left, size_hw=(240, 320)):
    """A face on a plain background, RGB."""
    frame = np.full(size_hw, GRAY, np.uint8)
    top, left = top_left
    frame[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return np.stack([frame] * 3, axis=-1)


def error_of(points, exact):
    return np.linalg.norm(points - exact, axis=-1).mean() / np.linalg.norm(exact[1] - exact[0])


# ---------------------------------------------------------------- networks


@pytest.mark.parametrize("kind", ["noise", "face"])
@pytest.mark.parametrize(("name", "size", "scale", "shift"), [("detector", 128, 2, -1.0), ("mesh", 192, 1, 0.0)])
def test_networks_answer_as_the_model_files_do(name, size, scale, shift, kind):
    """Within 1e-4 of the input's side, and of one for probabilities; `make_golden_face_mesh.py` wrote the answers."""
    golden = np.load(GOLDEN)
    if kind == "noise":
        pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    else:
        pixels = np.repeat(golden[f"{name}_face"][..., None], 3, axis=-1)
    values = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() * (scale / 255) + shift
    # Beside another input: a batch changes nothing.
    values = torch.cat([torch.zeros_like(values), values])
    networks = load_face_networks(packaged_weights())
    with torch.inference_mode():
        answers = getattr(networks, name)(values)
    ours = {answer[1].numel(): answer[1].numpy().ravel() for answer in answers}
    for number in (0, 1):
        theirs = golden[f"{name}_{kind}_{number}"].ravel()
        if theirs.size in (1, 896):
            difference = 1 / (1 + np.exp(-ours[theirs.size])) - 1 / (1 + np.exp(-theirs))
        else:
            difference = (ours[theirs.size] - theirs) / size
        assert np.abs(difference).max() < 1e-4


def test_missing_and_damaged_weights_are_named(tmp_path):
    with pytest.raises(AlignmentError, match="there is no file"):
        FaceMeshDetector(str(tmp_path / WEIGHTS_NAME))
    (tmp_path / WEIGHTS_NAME).write_bytes(b"no weights")
    with pytest.raises(AlignmentError, match="does not load"):
        FaceMeshDetector(str(tmp_path / WEIGHTS_NAME))


# ---------------------------------------------------------------- finding


def test_rendered_faces_are_found_at_their_exact_points(detector):
    errors = []
    for seed in range(6):
        picture, exact = rendered(seed, yaw=4.0 * (seed - 3), roll=5.0 * (seed - 3))
        (face,) = detector.detect(scene(picture, (40, 90))[None])[0]
        errors.append(error_of(face.landmarks, exact + np.array([90, 40])))
        assert face.score > 0.999 and face.mesh.shape == (468, 3)
    assert np.mean(errors) < 0.05 and np.max(errors) < 0.08


def test_a_face_of_fifteen_pixels_between_the_eyes_is_found(detector):
    picture, exact = rendered(5, size=160)
    small = np.asarray(Image.fromarray(picture).resize((42, 42), Image.Resampling.BOX))
    exact = (exact + 0.5) * (42 / 160) - 0.5 + (500, 370)
    assert np.linalg.norm(exact[1] - exact[0]) < 16
    frame = scene(small, (370, 500), (480, 640))
    (face,) = detector.detect(frame[None])[0]
    assert error_of(face.landmarks, exact) < 0.12
    assert detector.detect(frame[None], thorough=False) == [[]], "the tiles find it, the whole frame does not show it"


def test_all_faces_are_counted_from_left_to_right(detector):
    frame = scene(rendered(1)[0], (40, 10), (240, 480))
    frame[40:200, 300:460] = rendered(2)[0][..., None]
    faces = detector.detect(frame[None])[0]
    assert len(faces) == 2 and faces[0].centre[0] < 200 < faces[1].centre[0]


def test_a_frame_without_a_face_is_a_frame_without_a_face(detector):
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(40, 216, (12, 16, 3), dtype=np.uint8))
    frames = [
        np.zeros((240, 320, 3), np.uint8),
        random.integers(0, 256, (240, 320, 3), dtype=np.uint8),
        np.array(coarse.resize((320, 240), Image.Resampling.BICUBIC)),
        np.repeat(np.linspace(0, 255, 320).astype(np.uint8)[None, :, None], 240, axis=0).repeat(3, axis=2),
    ]
    assert [len(detector.detect(frame[None])[0]) for frame in frames] == [0] * 4


def test_pictures_of_scikit_image(detector):
    """Photographs of people show a face, those of a cat, coins, coffee and text show none."""
    data = pytest.importorskip("skimage.data")
    (face,) = detector.detect(data.astronaut()[None])[0]
    assert 40 < np.linalg.norm(face.landmarks[1] - face.landmarks[0]) < 47
    for name in ("coffee", "coins", "text", "chelsea", "moon"):
        picture = getattr(data, name)()
        picture = np.stack([picture] * 3, axis=-1) if picture.ndim == 2 else picture
        assert detector.detect(picture[None]) == [[]], name


def test_a_tiny_frame_is_searched_too(detector):
    assert detector.detect(np.zeros((1, 9, 7, 3), np.uint8)) == [[]]


# ---------------------------------------------------------------- following


@pytest.fixture(scope="module")
def moving():
    """A head that turns and drifts, blinks once and opens its mouth: frames and exact points."""
    frames, exact = [], []
    for number in range(24):
        picture, points = rendered(
            3,
            yaw=0.5 * number,
            roll=0.3 * number,
            blink=1.0 if number in (9, 10) else 0.0,
            action_units={(26, "L"): 8.0} if number >= 18 else {},
        )
        frames.append(scene(picture, (30 + number, 60 + 2 * number)))
        exact.append(points + np.array([60 + 2 * number, 30 + number]))
    return np.stack(frames), np.stack(exact)


@pytest.fixture(scope="module")
def track(detector, moving):
    return track_face(moving[0], detector)


def test_a_moving_head_is_followed(track, moving):
    exact = moving[1]
    assert track.share_seen == 1.0 and track.num_faces == 1 and track.points.dtype == np.float32
    # While the mouth is open its corners move as drawn; the eyes and the nose are what holds throughout.
    eyes = np.linalg.norm(exact[:, 1] - exact[:, 0], axis=-1)
    assert (np.linalg.norm(track.five_points - exact, axis=-1)[:, :3].mean(axis=1) / eyes).max() < 0.08
    assert track.eye_distance == pytest.approx(eyes, rel=0.05)
    assert np.array_equal(track.points_68[:, list(POINTS_OF_68)], track.five_points[:, 2:])
    eyes_of_68 = track.points_68[:, [36, 39]].mean(axis=1)
    assert eyes_of_68 == pytest.approx(track.five_points[:, 0], abs=0.01)


def test_head_and_lids_and_mouth_are_told(track, moving):
    yaw, _, roll = track.head_pose.T
    assert yaw[16] - yaw[0] == pytest.approx(8, abs=4)
    assert roll[16] - roll[0] == pytest.approx(4.8, abs=2)
    assert track.blinks() == [(9, 10)]
    opened = track.mouth_openness
    assert opened[18:].min() > opened[:18].max()
    shift_x, shift_y, turn, size = track.head_motion().T
    eyes = np.median(track.eye_distance)
    # 32 pixels of drift; a head that turns by 8 degrees carries its face a few pixels along.
    assert (shift_x[16] - shift_x[0]) * eyes == pytest.approx(36, abs=8)
    assert (shift_y[16] - shift_y[0]) * eyes == pytest.approx(16, abs=4)
    assert turn[16] - turn[0] == pytest.approx(4.8, abs=2) and np.abs(size - 1).max() < 0.08


def test_parts_of_a_clip_give_what_the_whole_gives(detector, moving, track):
    follower = FaceFollower(detector)
    parts = [follower.follow(part) for part in np.split(moving[0], [1, 7, 15])]
    joined = FaceTrack.join(parts)
    assert np.abs(joined.points - track.points).max() < 0.01
    assert joined.scores == pytest.approx(track.scores, abs=1e-4)


def test_a_lost_face_is_lost_and_found_again(detector):
    picture, exact = rendered()
    shown = scene(picture, (40, 90))
    gone = np.full_like(shown, GRAY)
    found = track_face(np.stack([gone, shown, shown, gone, shown]), detector)
    assert found.found.tolist() == [False, True, True, False, True]
    assert found.share_seen == pytest.approx(0.6)
    assert np.isnan(found.points[0]).all() and np.isnan(found.head_motion()[3]).all()
    assert error_of(found.five_points[4], exact + np.array([90, 40])) < 0.08
    nobody = track_face(np.stack([gone, gone]), detector)
    assert nobody.share_seen == 0 and nobody.blinks() == [] and np.isnan(nobody.head_motion()).all()


def test_the_left_or_the_right_face_is_followed(detector):
    frame = scene(rendered(1)[0], (40, 10), (240, 480))
    frame[60:180, 320:440] = np.asarray(Image.fromarray(rendered(2)[0]).resize((120, 120)))[..., None]
    for face, left_side in (("largest", True), (0, True), (1, False)):
        followed = track_face(frame[None], detector, face)
        assert (followed.five_points[0, 2, 0] < 240) == left_side and followed.num_faces == 2


def test_square_of_a_turned_mesh_is_turned_with_it(track):
    points = track.points[0].astype(np.float64)
    square = FaceSquare.around(points)
    quarter = points[:, [1, 0, 2]] * [-1, 1, 1]
    turned = FaceSquare.around(quarter)
    assert turned.side == pytest.approx(square.side) and turned.angle - square.angle == pytest.approx(np.pi / 2)
    assert turned.centre_xy == pytest.approx((-square.centre_xy[1], square.centre_xy[0]))
    corner = square.transform(100) @ [49.5, 49.5, 1]
    assert corner == pytest.approx(square.centre_xy)
    assert five_of_mesh(quarter) == pytest.approx(five_of_mesh(points)[:, ::-1] * [-1, 1])


# ---------------------------------------------------------------- the processor


def clip_with_face(num_frames=6, **options):
    picture, exact = rendered(**options)
    return np.stack([scene(picture, (40, 90))] * num_frames), exact + np.array([90, 40])


def test_auto_crops_by_the_mesh_and_says_so():
    frames, exact = clip_with_face()
    processor = FDPVideoProcessor()
    clip = processor.align_clip(frames)
    report = clip.report
    assert (report.source, report.frames_searched, report.frames_seen, report.num_faces) == ("mesh", 5, 5, 1)
    assert report.eye_distance == pytest.approx(np.linalg.norm(exact[1] - exact[0]), rel=0.05)
    json.dumps(report.__dict__)
    given = processor.align_clip(frames, landmarks=exact)
    assert given.report.source == "given"
    # Crops of 64 pixels: the mesh is less than a pixel and a half from the exact crop.
    assert np.abs(clip.transforms - given.transforms)[:, 2].max() < 0.08 * report.eye_distance
    metadata = processor(frames, return_metadata=True)["video_metadata"][0]
    assert metadata.face == report and not [text for text in metadata.warnings if "face" in text]


def test_auto_takes_a_table_beside_the_clip_first(tmp_path, write_frames):
    frames, exact = clip_with_face()
    write_frames(tmp_path / "clip", frames)
    columns = [f"{name}_{axis}" for name in ("left_eye", "right_eye", "nose_tip") for axis in "xy"]
    columns += [f"{side}_mouth_corner_{axis}" for side in ("left", "right") for axis in "xy"]
    values = ",".join(map(str, (exact + 3).ravel()))
    (tmp_path / "landmarks.csv").write_text(f"clip_id,frame_index,{','.join(columns)}\nclip,-1,{values}\n")
    auto = FDPVideoProcessor().align_clip(tmp_path / "clip")
    table = FDPVideoProcessor(alignment="precomputed").align_clip(tmp_path / "clip")
    assert auto.report.source == "table" and torch.equal(auto.frames, table.frames)
    # A clip that the table does not name is searched.
    write_frames(tmp_path / "other", frames)
    assert FDPVideoProcessor().align_clip(tmp_path / "other").report.source == "mesh"


def test_a_face_that_fills_the_frame_is_taken_as_it_is():
    picture, _ = rendered(size=160)
    tight = np.stack([picture[30:140, 26:134]] * 4)
    clip = FDPVideoProcessor().align_clip(tight)
    assert clip.report.source == "frame" and clip.track is None
    assert torch.equal(clip.frames, FDPVideoProcessor(alignment="none").align_clip(tight).frames)
    assert FDPVideoProcessor(alignment="mesh").align_clip(tight).report.source == "mesh"


def test_no_face_is_one_sentence_or_a_warning_and_never_silence():
    black = np.zeros((7, 120, 160), np.uint8)
    with pytest.raises(FaceNotFoundError, match=r"'dark' shows none in the 7 frames that were searched"):
        FDPVideoProcessor(alignment="mesh")(black, clip_id="dark")
    with pytest.warns(MissingFaceWarning, match="whole frames are taken"):
        FDPVideoProcessor()(black)
    # Said once: where the metadata is asked for, it says so instead.
    answer = FDPVideoProcessor()(black, return_metadata=True)
    metadata = answer["video_metadata"][0]
    assert metadata.face.source == "unseen" and any("whole frames are used" in text for text in metadata.warnings)
    with pytest.warns(MissingFaceWarning, match="middle of the frame"):
        FDPVideoProcessor(missing_face="center")(black)
    answer = FDPVideoProcessor(missing_face="center")(black, return_metadata=True)
    metadata = answer["video_metadata"][0]
    assert metadata.face.source == "center" and any("no face in the 7 frames" in text for text in metadata.warnings)


def test_a_face_that_comes_late_is_found_and_warned_of():
    frames, exact = clip_with_face(40)
    frames[:] = GRAY
    # Between the five spread frames, which are 0, 10, 20, 29 and 39.
    frames[33:36] = clip_with_face(3)[0]
    with pytest.warns(MissingFaceWarning, match=r"shows in 1 of the \d+ frames that were searched"):
        clip = FDPVideoProcessor().align_clip(frames)
    assert clip.track.frame_indices.tolist() in ([33], [34], [35]) and error_of(clip.track.points[0], exact) < 0.08


def test_several_faces_and_a_turned_head_are_warned_of():
    frame = scene(rendered(1)[0], (40, 10), (240, 480))
    frame[40:200, 300:460] = rendered(2)[0][..., None]
    metadata = FDPVideoProcessor()(np.stack([frame] * 2), return_metadata=True)["video_metadata"][0]
    assert any("2 faces are found" in text for text in metadata.warnings)


def test_per_frame_crops_follow_the_head(moving):
    frames, exact = moving
    clip = FDPVideoProcessor(alignment_mode="per_frame").align_clip(frames)
    assert clip.transforms.shape == (24, 2, 3) and clip.report.frames_seen == 24
    centres = clip.transforms @ [31.5, 31.5, 1]
    assert np.abs(centres - (exact.min(axis=1) + exact.max(axis=1)) / 2).max() < 8


def test_frames_of_a_saved_processor_need_no_package(tmp_path, monkeypatch):
    """The weights travel: a processor whose package lacks them takes those beside its settings and saves them."""
    frames, _ = clip_with_face(2)
    expected = FDPVideoProcessor().align_clip(frames).frames
    FDPVideoProcessor(num_frames=2).save_pretrained(tmp_path / "saved")
    names = {path.name for path in (tmp_path / "saved").iterdir()}
    assert {WEIGHTS_NAME, "FACE_MESH_NOTICE.md", "FACE_MESH_LICENSE.txt", "face_mesh_fdp.py"} <= names
    absent = str(tmp_path / "nowhere" / WEIGHTS_NAME)
    monkeypatch.setattr("processing_fdp.video_processing_fdp.packaged_weights", lambda: absent)
    loaded = FDPVideoProcessor.from_pretrained(tmp_path / "saved")
    assert torch.equal(loaded.align_clip(frames).frames, expected)
    assert str(tmp_path) not in json.dumps(loaded.to_dict())
    loaded.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / WEIGHTS_NAME).read_bytes() == (tmp_path / "saved" / WEIGHTS_NAME).read_bytes()
    (tmp_path / "saved" / WEIGHTS_NAME).unlink()
    without = FDPVideoProcessor.from_pretrained(tmp_path / "saved")
    with pytest.raises(AlignmentError, match="there is no file"):
        without.align_clip(frames)


@pytest.mark.skipif(not REAL_FACES.is_dir(), reason="the real clips are not beside this checkout")
def test_real_faces_are_followed_throughout(detector):
    av = pytest.importorskip("av")
    for path in sorted(REAL_FACES.glob("*.mp4")):
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][:30]
        followed = track_face(np.stack(frames), detector)
        assert followed.share_seen == 1.0 and followed.num_faces == 1
        assert np.abs(followed.head_pose[:, :2]).max() < 30
