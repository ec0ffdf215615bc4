"""What an answer says about a clip, from outputs and face tracks that are known, without network and processor."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from modeling_fdp import clip_answer_fdp
from modeling_fdp.answer_fdp import ClipFacts, FaceFacts, Movement, UsedFrame
from modeling_fdp.clip_answer_fdp import AnswerSettings, PreparedClip, make_answer, prepare_clip
from processing_fdp.face_report_fdp import FaceReport

NUM_FRAMES = 10
# Every frame the same: nothing moves, so that an answer follows from the output alone.
PIXELS = torch.rand(1, 1, 1, 66, 66, generator=torch.Generator().manual_seed(0)).expand(1, NUM_FRAMES, 1, 66, 66)


def clip(face=None, warnings=(), pixels=PIXELS):
    return PreparedClip(
        input="clip.mp4",
        pixel_values=pixels,
        clip=ClipFacts(40, 64, 48, 20.0, 2.0, 4, 22),
        frames=[UsedFrame(4 + 2 * number, 0.2 + 0.1 * number) for number in range(NUM_FRAMES)],
        face=face,
        warnings=list(warnings),
    )


# Lowest twice in the middle, because the mean of two frames is rest in a clip of ten.
SCORES = [[0.5, 0.0, -0.1, 0.3, 0.7, 1.0, 0.4, 0.2, 0.1, 0.0]]
OUTPUT = {
    "logits": torch.tensor([[1.0, 3.0, 2.0]]),
    "rank_scores": torch.tensor(SCORES),
    "action_unit_logits": torch.tensor([[-1.0, 2.0]]),
    "movement_size": torch.tensor([0.8]),
    "movement_score": torch.tensor([1.5]),
}
SETTINGS = AnswerSettings({0: "negative", 1: "positive", 2: "surprise"}, ["4", "99"], True)


def test_an_answer_holds_the_networks_output_in_its_order():
    answer = make_answer(
        clip(warnings=["dark"]), OUTPUT, SETTINGS, {"target": np.ones((2, 2))}, {"flow": [1.0]}, {"tau": 0.5}
    )
    shares = np.exp([1, 3, 2]) / np.exp([1, 3, 2]).sum()
    assert answer.probabilities == pytest.approx(dict(zip(("negative", "positive", "surprise"), shares, strict=True)))
    assert (answer.label, answer.probability) == ("positive", pytest.approx(shares[1]))
    assert [(unit.code, unit.name, round(unit.probability, 4)) for unit in answer.action_units] == [
        ("99", "action unit 99", 0.8808), ("4", "brow lowerer", 0.2689)
    ]  # fmt: skip
    assert answer.movement.size == pytest.approx(0.8) and answer.movement.score == pytest.approx(1.5)
    assert answer.movement.is_still is False and answer.movement.head_size == pytest.approx(0, abs=1e-4)
    # Progress is that of the scores: the second lowest, 0, is rest, and a quarter of the peak is near it.
    assert answer.curves["progress"] == pytest.approx([0.5, 0, 0, 0.3, 0.7, 1, 0.4, 0.2, 0.1, 0])
    found = answer.movement
    assert (found.onset_index, found.apex_index, found.offset_index) == (4 + 2 * 2, 4 + 2 * 5, 4 + 2 * 7)
    assert answer.curves["rank_scores"] == pytest.approx(SCORES[0]) and answer.curves["flow"] == [1.0]
    assert answer.curves["motion"] == pytest.approx([0] * NUM_FRAMES, abs=1e-4)
    assert answer.numbers == {"tau": 0.5} and answer.input == "clip.mp4" and answer.warnings == ["dark"]
    assert answer.images["frames"] == pytest.approx((PIXELS[0, :, 0].numpy() + 1) / 2)
    assert answer.images["target"].tolist() == [[1.0, 1.0], [1.0, 1.0]] and set(answer.images) == {"frames", "target"}
    assert answer.frames == clip().frames and answer.clip == clip().clip


def test_the_place_at_rest_is_that_of_the_fifth_of_frames_with_the_lowest_scores(monkeypatch):
    seen = []
    monkeypatch.setattr(
        clip_answer_fdp, "skin_motion", lambda frames, at_rest: seen.append((frames.shape, at_rest)) or np.zeros(10)
    )
    make_answer(clip(), {**OUTPUT, "rank_scores": torch.tensor([[9.0, 3, 1, 2, 0, 5, 6, 7, 8, 4]])}, SETTINGS)
    make_answer(clip(), OUTPUT, AnswerSettings(SETTINGS.id2label, SETTINGS.action_units))
    make_answer(clip(), {"logits": OUTPUT["logits"]}, SETTINGS)
    # 66 pixels hold 16 whole cells of 4.
    assert seen == [((10, 64, 64), [4, 2]), ((10, 64, 64), [0]), ((10, 64, 64), [0])]


def test_without_a_score_only_frames_without_motion_are_still(monkeypatch):
    for largest, is_still in ((0.0, True), (0.0009, True), (0.001, False), (0.5, False)):
        curve = np.linspace(0, largest, NUM_FRAMES)
        monkeypatch.setattr(clip_answer_fdp, "skin_motion", lambda frames, at_rest, curve=curve: curve)
        for output, settings in (
            ({"logits": OUTPUT["logits"]}, SETTINGS),
            (
                {"logits": OUTPUT["logits"], "movement_size": torch.tensor([largest])},
                AnswerSettings(SETTINGS.id2label),
            ),
        ):
            answer = make_answer(clip(), output, settings)
            assert answer.movement.is_still is is_still and answer.movement.score is None
            assert answer.movement.size == pytest.approx(largest)
            assert answer.label == ("neutral" if is_still else "positive") and answer.action_units == []
            assert (f"no clear movement: {largest:.2f} pixels" in answer.warnings) is is_still
    assert answer.curves["progress"] == pytest.approx(
        [0, *((k / 9 - 1 / 9) / (8 / 9) for k in range(1, 10))]
    ) and "rank_scores" not in answer.curves  # fmt: skip


def test_below_a_score_of_0_nothing_moved():
    for score, is_still in ((0.0, False), (-0.01, True)):
        answer = make_answer(clip(), {**OUTPUT, "movement_score": torch.tensor([score])}, SETTINGS)
        assert answer.movement.is_still is is_still
    assert answer.warnings == ["no clear movement: 0.80 pixels, movement score -0.01, below 0"]
    equal = {**OUTPUT, "movement_size": torch.tensor([0.0]), "movement_score": torch.tensor([1.0])}
    assert make_answer(clip(), equal, SETTINGS).movement.is_still, "whatever the score of equal frames is"
    assert answer.curves["progress"] == [0.0] * NUM_FRAMES and answer.probability is None


def warnings_of(head=0.0, skin=0.0, cut=None, blinks=None):
    prepared = clip(FaceFacts("mesh", blinks=blinks))
    return clip_answer_fdp._warnings_of(prepared, Movement(1.0, None, False, head), skin, cut)


def test_a_head_that_moves_further_than_the_skin_is_named():
    said = [
        "the head moves by 2.5 pixels of the aligned frames, the skin by 0.4: part of the movement may be the head's"
    ]
    assert warnings_of(head=2.51, skin=0.4) == said
    assert warnings_of(head=1.0, skin=0.4) == [] and warnings_of(head=1.01, skin=0.4) != []
    assert warnings_of(head=2.0, skin=2.0) == []


def test_blinks_are_named_unless_the_picture_is_cut():
    assert warnings_of(blinks=[(5, 7), (9, 9)]) == [
        "the eyes blink in frames 5 to 7: a blink can be taken for an expression",
        "the eyes blink in frames 9 to 9: a blink can be taken for an expression",
    ]
    assert warnings_of(blinks=[(5, 7)], cut=2) == [
        "the picture becomes another one between frames 8 and 10, by a cut, a lost face or a large turn of the head: "
        "give one side of it"
    ]
    assert clip_answer_fdp._warnings_of(clip(None), Movement(1.0, None, False, 0.0), 0.0, None) == []


def test_a_cut_in_the_pixels_reaches_the_warnings():
    other = torch.rand(1, 4, 1, 66, 66, generator=torch.Generator().manual_seed(1))[:, :1].expand(1, 4, 1, 66, 66)
    answer = make_answer(clip(pixels=torch.cat([PIXELS[:, :6], other], 1)), OUTPUT, SETTINGS)
    assert any("between frames 14 and 16, by a cut" in text for text in answer.warnings)


class Processor:
    """Five frames of a clip, every second one from frame 2 on, and a face that is followed as `track` says."""

    def __init__(self, face=None, total=12, fps=10.0, **track):
        self.calls, self.followed = [], []
        used = np.array([2, 4, 6, 8, 10]) if total > 5 else np.arange(total)
        self.metadata = SimpleNamespace(
            fps=fps, frames_indices=used, total_num_frames=total, width=64,
            height=48, warnings=["dark"], face=face, is_too_long=False,
        )  # fmt: skip
        found = np.ones(total, dtype=bool)
        poses = np.zeros((total, 3))
        self.track = SimpleNamespace(**{"found": found, "head_pose": poses, "num_faces": 1, "blinks": list} | track)

    def __call__(self, source, **keywords):
        self.calls.append((source, keywords))
        return {"video_metadata": [self.metadata], "pixel_values": PIXELS[:, :5]}

    def follow_face(self, source, **keywords):
        self.followed.append((source, keywords))
        return self.track


def face(source="mesh", **changes):
    return FaceReport(source=source, frames_searched=5, frames_seen=5, num_faces=1, **changes)


def test_a_clip_is_read_once_with_the_keywords_of_the_call():
    processor = Processor()
    prepared = prepare_clip(processor, "folder/clip.mp4", 5, onset_index=2)
    assert processor.calls == [
        ("folder/clip.mp4", {"num_frames": 5, "do_sample_frames": True, "return_metadata": True,
                             "return_tensors": "pt", "onset_index": 2})
    ]  # fmt: skip
    assert prepared.input == "folder/clip.mp4" and prepared.warnings == ["dark"] and prepared.face is None
    assert prepared.clip == ClipFacts(12, 64, 48, 10.0, 1.2, 2, 10) and processor.followed == []
    assert prepared.frames == [UsedFrame(index, index / 10) for index in (2, 4, 6, 8, 10)]
    assert prepared.pixel_values.shape == (1, 5, 1, 66, 66)
    unknown = prepare_clip(Processor(fps=None), np.zeros(1), 5)
    assert unknown.input is None and unknown.clip.duration_s is None and unknown.frames[1] == UsedFrame(4, None)


@pytest.mark.parametrize(("total", "said"), [(1, "1 frame"), (4, "4 frames"), (5, None)])
def test_too_few_frames_are_named(total, said):
    warnings = prepare_clip(Processor(total=total), "x", 5).warnings
    assert warnings[1:] == ([] if said is None else [f"the clip has {said}, too few to see the course of a movement"])


def test_a_face_is_followed_through_the_interval_that_is_judged():
    found = np.ones(12, dtype=bool)
    found[[0, 5]] = False
    poses = np.zeros((12, 3))
    poses[2:11] = np.linspace([0, 0, 0], [8, -4, 2], 9)
    poses[[0, 5, 11]] = 90
    blinks = [(0, 1), (0, 2), (4, 5), (10, 11), (11, 11)]
    processor = Processor(face(), found=found, head_pose=poses, num_faces=2, blinks=lambda: blinks)
    own = list(range(12))
    # With an onset, so that the interval is the caller's and not the longest stretch of the face.
    prepared = prepare_clip(
        processor, "x", 5, frame_numbers=own, onset_index=2, landmarks=None, input_data_format=None
    )
    assert processor.followed == [("x", {"frame_numbers": own})]
    assert prepared.face.share_seen == pytest.approx(8 / 9) and prepared.face.num_faces == 2
    assert prepared.face.turn_range == (8.0, 4.0, 2.0) and prepared.face.blinks == [(0, 2), (4, 5), (10, 11)]
    assert prepared.warnings == [
        "dark", "2 faces are found and one of them is used: choose it with face=", "the face is lost in 1 of 9 frames"
    ]  # fmt: skip


def test_what_the_processor_said_already_is_not_said_again():
    found = np.array([True] * 5 + [False] * 7)
    several = dataclasses.replace(face(), num_faces=3, frames_seen=4)
    prepared = prepare_clip(Processor(several, found=found, num_faces=2), "x", 5)
    stretch = "the face shows in 42% of the clip: only frames 2 to 4 (0.20 to 0.40 s) are judged"
    assert prepared.warnings == ["dark", stretch] and prepared.face.num_faces == 3
    lost = prepare_clip(Processor(face(), found=np.zeros(12, dtype=bool)), "x", 5)
    assert lost.warnings == ["dark"] and lost.face.turn_range is None and lost.face.share_seen == 0


@pytest.mark.parametrize(
    ("source", "total", "track_face", "followed"),
    [("mesh", 1000, True, 1), ("frame", 12, True, 1), ("mesh", 12, False, 0), ("mesh", 1001, True, 0),
     ("none", 12, True, 0)],
)  # fmt: skip
def test_a_face_is_followed_where_it_was_detected_in_clips_that_are_not_too_long(source, total, track_face, followed):
    processor = Processor(face(source), total=total)
    prepared = prepare_clip(processor, "x", 5, track_face)
    assert len(processor.followed) == followed and (prepared.face.share_seen is not None) is bool(followed)


def test_settings_of_a_network_decide_its_answers():
    config = SimpleNamespace(id2label={0: "a"}, action_units=["4"], has_patterns=True)
    assert AnswerSettings.of(config) == AnswerSettings({0: "a"}, ["4"], True)
    bare = SimpleNamespace(id2label=None, action_units=[], has_patterns=False)
    assert AnswerSettings.of(bare) == AnswerSettings({}, [], False)
