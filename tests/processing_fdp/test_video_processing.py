"""The video processor: one contract for every form, sampling by its definition, settings that travel."""

import importlib
import json
import os
import subprocess
import sys

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from transformers import AutoVideoProcessor
from transformers.video_utils import VideoMetadata

from processing_fdp.clip_batches_fdp import split_batch
from processing_fdp.clip_reading_fdp import VideoReadError
from processing_fdp.video_processing_fdp import FDPVideoProcessor


@pytest.fixture(scope="module")
def rgb(barcode_frames):
    return barcode_frames(20, 50, 70)


@pytest.fixture(scope="module")
def folder(rgb, write_frames, tmp_path_factory):
    path = tmp_path_factory.mktemp("clip")
    write_frames(path, rgb)
    return path


def pixels(source, processor=None, **options):
    return (processor or FDPVideoProcessor(alignment="none"))(source, return_tensors="pt", **options)["pixel_values"]


def test_pixel_values_keep_the_contract(folder):
    processor = FDPVideoProcessor(alignment="none")
    values = pixels(folder)
    assert values.shape == (1, 16, 1, 64, 64) and values.dtype == torch.float32
    assert -1 <= values.min() < values.max() <= 1
    prepared = processor.align_clip(folder).frames
    assert prepared.shape == (20, 64, 64) and prepared.dtype == torch.uint8
    chosen = prepared[torch.from_numpy(processor.sample_indices(len(prepared)))]
    assert torch.equal(values[0, :, 0], processor.normalize_frames(chosen))
    assert list(processor(folder)) == ["pixel_values"]


def test_normalisation_is_fixed():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    values = FDPVideoProcessor(alignment="none").normalize_frames(levels).flatten()
    assert torch.allclose(values, torch.arange(256) / 127.5 - 1, atol=1e-7)
    assert values[0] == -1 and values[255] == 1


@pytest.mark.parametrize("alignment", ["none", "landmarks", "registered"])
def test_every_form_gives_equal_pixels(alignment, rgb, folder, write_video):
    points = np.array([[25.0, 18], [45, 19], [35, 26], [28, 35], [43, 36]])
    given = {} if alignment == "none" else {"landmarks": points}
    processor = FDPVideoProcessor(
        alignment="none", registration="translation" if alignment == "registered" else "none"
    )
    expected = pixels(folder, processor, **given)
    files = sorted(folder.glob("*.png"), key=lambda path: int(path.stem[3:]))
    video = write_video(folder / "clip.avi", rgb, "huffyuv", "rgb24")
    gray = [Image.open(path).convert("L") for path in files]
    forms = {
        "str": str(folder),
        "frame paths": files,
        "frame paths as str": [str(path) for path in files],
        "video": video,
        "thwc": rgb,
        "tchw": rgb.transpose(0, 3, 1, 2),
        "tensor thwc": torch.from_numpy(rgb),
        "tensor tchw": torch.from_numpy(rgb).permute(0, 3, 1, 2),
        "unit floats": torch.from_numpy(rgb) / 255,
        "floats": rgb.astype(np.float32),
        "pil": [Image.fromarray(frame) for frame in rgb],
        "gray pil": gray,
        "gray array": np.stack([np.asarray(image) for image in gray]),
        "gray tensor with channel": torch.from_numpy(np.stack([np.asarray(image) for image in gray]))[:, None],
        "list of frames": list(rgb),
        "batch of one": [rgb],
        "5-D": rgb[None],
    }
    for name, form in forms.items():
        assert torch.equal(pixels(form, processor, **given), expected), name


def test_lists_of_frames_may_be_views_and_bfloat16(rgb):
    # What `frame[:, :, ::-1]` (BGR to RGB) and flips give: strides below 0, which torch does not take.
    views = [np.ascontiguousarray(frame[:, ::-1, ::-1])[:, ::-1, ::-1] for frame in rgb]
    assert torch.equal(pixels(views), pixels(rgb))
    rounded = torch.from_numpy(rgb).to(torch.bfloat16)
    assert torch.equal(pixels(list(rounded)), pixels(rounded))
    assert torch.equal(pixels(list(rounded)), pixels(rounded.float().numpy()))


def test_batches_of_different_lengths_and_sizes(rgb, folder):
    batch = [folder, rgb[:3], rgb[:, :30, :41], [Image.fromarray(frame) for frame in rgb[:9]]]
    values = pixels(batch)
    assert values.shape == (4, 16, 1, 64, 64)
    for row, clip in enumerate(batch):
        assert torch.equal(values[row], pixels(clip)[0])
    loose = FDPVideoProcessor(alignment="none", do_sample_frames=False)(batch)["pixel_values"]
    assert [len(clip) for clip in loose] == [20, 3, 20, 9]
    with pytest.raises(ValueError, match="do_sample_frames=True"):
        FDPVideoProcessor(alignment="none", do_sample_frames=False)(batch, return_tensors="pt")


def test_arguments_per_clip(rgb):
    processor = FDPVideoProcessor(alignment="none", num_frames=3, return_metadata=True)
    answer = processor([rgb, rgb], onset_index=[2, 0], offset_index=[10, 19], apex_index=[None, 5])
    assert [info.frames_indices for info in answer["video_metadata"]] == [[2, 6, 10], [0, 5, 19]]
    both = processor([rgb, rgb], onset_index=4)
    assert [info.frames_indices[0] for info in both["video_metadata"]] == [4, 4]
    selected = pixels(rgb, frame_numbers=list(range(5, 15)))
    assert torch.equal(selected, pixels(rgb[5:15]))
    two = pixels([rgb, rgb], frame_numbers=[list(range(5)), list(range(5, 15))])
    assert torch.equal(two[1], selected[0])
    points = np.array([[25.0, 18], [45, 19], [35, 26], [28, 35], [43, 36]])
    expected = pixels(rgb, landmarks=points)
    for given in (points.tolist(), [points], np.repeat(points[None], 20, axis=0)):
        assert torch.equal(pixels(rgb, landmarks=given), expected)
    for given in (points, [points, points], np.stack([points, points])):
        assert torch.equal(pixels([rgb, rgb], landmarks=given)[1], expected[0])
    for given in (points[None], torch.from_numpy(points[None]), np.repeat(points[None, None], 20, axis=1)):
        assert torch.equal(pixels([rgb], landmarks=given), expected)
    assert torch.equal(pixels(rgb, frame_numbers=[list(range(5, 15))]), selected)
    with pytest.raises(ValueError, match="onset_index takes one value per clip"):
        processor([rgb, rgb], onset_index=[1, 2, 3])


def test_split_batch_tells_clips_from_frames(rgb, folder):
    files = [str(path) for path in folder.glob("*.png")]
    cases = [
        (files, 1),
        ([str(folder), str(folder)], 2),
        ([files, files], 2),
        (list(rgb), 1),
        (list(rgb[..., 0]), 1),
        ([rgb, rgb], 2),
        ([rgb[..., 0], rgb[:4, ..., 0]], 2),
        (np.stack([rgb, rgb]), 2),
        ([np.stack([rgb, rgb]), rgb], 3),
        ([Image.fromarray(rgb[0])] * 3, 1),
        ([[Image.fromarray(rgb[0])] * 3] * 2, 2),
    ]
    for videos, count in cases:
        assert len(split_batch(videos)) == count
    with pytest.raises(ValueError, match="empty list"):
        split_batch([])


# ---------------------------------------------------------------- sampling


@pytest.mark.parametrize("total", [1, 2, 7, 8, 9, 20, 143])
@pytest.mark.parametrize("count", [1, 2, 8, 16])
def test_sampling_is_rounded_linspace(total, count):
    indices = FDPVideoProcessor(alignment="none", num_frames=count).sample_indices(total)
    assert indices.dtype == np.int64 and len(indices) == count
    assert np.array_equal(indices, np.rint(np.linspace(0, total - 1, count)))
    assert indices[0] == 0 and (count == 1 or indices[-1] == total - 1)
    assert (np.diff(indices) >= 0).all()


@pytest.mark.parametrize("count", [3, 4, 8, 16])
@pytest.mark.parametrize("onset, apex, offset", [(0, 1, 30), (3, 10, 12), (0, 29, 30), (5, 6, 7), (2, 15, 28)])
def test_sampling_keeps_onset_apex_and_offset(onset, apex, offset, count):
    indices = FDPVideoProcessor(alignment="none").sample_indices(40, count, onset, apex, offset)
    assert len(indices) == count and (np.diff(indices) >= 0).all()
    assert indices[0] == onset and indices[-1] == offset and apex in indices


def test_library_sampler_is_replaced():
    """transformers' own takes arange(n) * total // n, which never reaches the last frame."""
    processor = FDPVideoProcessor(alignment="none", num_frames=4)
    metadata = VideoMetadata(total_num_frames=10)
    assert processor.sample_frames(metadata).tolist() == [0, 3, 6, 9]
    assert processor.sample_frames(metadata, num_frames=2, fps=None).tolist() == [0, 9]


def test_sampling_without_a_known_apex():
    processor = FDPVideoProcessor(alignment="none", num_frames=4)
    plain = processor.sample_indices(40, onset_index=4, offset_index=30)
    assert np.array_equal(plain, processor.sample_indices(40, onset_index=4, apex_index=-1, offset_index=30))
    assert processor.sample_indices(40, 1, apex_index=9).tolist() == [9]
    # On the edge there is nothing to keep.
    assert np.array_equal(plain, processor.sample_indices(40, onset_index=4, apex_index=30, offset_index=30))


@pytest.mark.parametrize("wrong", [(0,), (5, 0), (5, 3, 5), (5, 3, 0, None, 5), (5, 3, 2, 1, 4), (5, 3, 3, None, 2)])
def test_wrong_sampling_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must hold|takes at least"):
        FDPVideoProcessor(alignment="none").sample_indices(*wrong)


@pytest.mark.parametrize("nothing", [None, float("nan"), np.float32("nan"), np.float64("nan")])
def test_key_frames_from_a_table_may_be_whole_floats_and_gaps(rgb, nothing):
    processor = FDPVideoProcessor(alignment="none", num_frames=3, return_metadata=True)

    def frames(**given):
        return [info.frames_indices for info in processor([rgb, rgb], **given)["video_metadata"]]

    given = {"onset_index": 2.0, "apex_index": np.float64(4), "offset_index": np.array(10.0)}
    assert frames(**given) == frames(onset_index=2, apex_index=4, offset_index=10) == [[2, 4, 10]] * 2
    assert frames(apex_index=[nothing, 5.0]) == frames(apex_index=[-1, 5])
    column = pandas.Series([5.0, nothing], index=[7, 8])
    assert frames(apex_index=column) == frames(apex_index=[5, None])
    assert frames(onset_index=nothing, apex_index=nothing, offset_index=nothing) == frames()


@pytest.mark.parametrize("wrong", [2.5, float("inf"), "3", True, b"3"])
def test_what_is_no_frame_is_named(rgb, wrong):
    for name in ("onset_index", "apex_index", "offset_index"):
        with pytest.raises(ValueError, match=f"{name} must be a whole number"):
            FDPVideoProcessor(alignment="none")(rgb, **{name: [wrong]})


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("fast_jpeg", "false"),
        ("allow_truncated", 1),
        ("do_sample_frames", None),
        ("num_frames", True),
        ("num_frames", 8.0),
        ("num_frames", 0),
        ("size", 64.5),
        ("size", {"height": 64, "width": 64.5}),
        ("size", {"height": 64}),
        ("size", 0),
        ("size", True),
        ("size", "64"),
        ("landmark_frames", 2.5),
        ("crop_scale", "2"),
        ("crop_scale", float("nan")),
        ("min_face_score", True),
        ("alignment", 3),
        ("video_backend", ["auto"]),
        ("face", 1.0),
        ("landmark_model_path", 5),
    ],
)
def test_settings_of_the_wrong_type_are_refused(rgb, name, wrong):
    with pytest.raises(ValueError, match=rf"{name} must be"):
        FDPVideoProcessor(**{"alignment": "none", name: wrong})
    if wrong is not None:
        with pytest.raises(ValueError, match=rf"{name} must be"):
            FDPVideoProcessor(alignment="none")(rgb, **{name: wrong})


def test_paths_and_whole_numbers_are_settings_too(tmp_path):
    processor = FDPVideoProcessor(
        alignment="none", landmarks_path=tmp_path / "points.csv", crop_scale=2, min_face_score=0
    )
    processor.save_pretrained(tmp_path)
    assert FDPVideoProcessor.from_pretrained(tmp_path).landmarks_path == str(tmp_path / "points.csv")


def test_every_setting_is_saved_and_restored(tmp_path):
    settings = {
        "num_frames": 5,
        "size": {"height": 48, "width": 56},
        "do_sample_frames": False,
        "return_metadata": True,
        "alignment": "precomputed",
        "alignment_mode": "per_frame",
        "crop_scale": 2.2,
        "landmark_frames": 3,
        "face": 1,
        "min_face_score": 0.4,
        "missing_face": "nearest",
        "registration": "none",
        "landmark_model_path": "model.onnx",
        "landmarks_path": "landmarks.csv",
        "video_backend": "opencv",
        "allow_truncated": True,
        "fast_jpeg": True,
        "even_light": True,
    }
    assert set(settings) == set(FDPVideoProcessor.valid_kwargs.__annotations__)
    processor = FDPVideoProcessor(**settings)
    processor.save_pretrained(tmp_path)
    for loaded in (
        FDPVideoProcessor.from_pretrained(tmp_path),
        FDPVideoProcessor(**processor.to_dict()),
    ):
        assert {name: loaded.to_dict()[name] for name in settings} == settings
    assert FDPVideoProcessor.from_pretrained(tmp_path, num_frames=9).num_frames == 9
    saved = json.loads((tmp_path / "video_preprocessor_config.json").read_text())
    assert saved["crop_scale"] == 2.2 and saved["video_processor_type"] == "FDPVideoProcessor"


def test_settings_of_one_call_stay_in_that_call(rgb):
    processor = FDPVideoProcessor(alignment="none")
    before = processor.to_dict()
    assert pixels(rgb, processor, num_frames=3, size={"height": 20, "width": 30}).shape == (1, 3, 1, 20, 30)
    assert pixels(rgb, processor, size=16).shape == (1, 16, 1, 16, 16)
    assert processor.to_dict() == before
    assert torch.equal(pixels(rgb, processor, num_frames=None), pixels(rgb))


def test_unknown_keywords_are_errors(rgb):
    with pytest.raises(ValueError, match="image_mean"):
        FDPVideoProcessor(alignment="none", image_mean=[0.5])
    with pytest.raises(ValueError, match="num_frame'"):
        FDPVideoProcessor(alignment="none")(rgb, num_frame=3)


def test_metadata_tells_what_was_read(write_video, rgb, tmp_path):
    path = write_video(tmp_path / "clip.avi", rgb, rate=25)
    (info,) = FDPVideoProcessor(alignment="none", num_frames=4)(path, return_metadata=True)["video_metadata"]
    assert (info.total_num_frames, info.fps, info.width, info.height) == (20, 25, 70, 50)
    assert info.frames_indices == [0, 6, 13, 19] and info.video_backend == "pyav"
    assert info.duration == pytest.approx(0.8)


def test_metadata_tells_the_size_on_disk_when_frames_are_decoded_smaller(write_frames, tmp_path):
    write_frames(tmp_path, np.random.default_rng(0).integers(0, 256, (3, 200, 240), dtype=np.uint8), "{}.jpg")
    points = np.array([[80.0, 60], [160, 60], [120, 100], [90, 140], [150, 140]])
    processor = FDPVideoProcessor(alignment="none", size=16, fast_jpeg=True, return_metadata=True)
    (info,) = processor(tmp_path, landmarks=points)["video_metadata"]
    assert (info.width, info.height) == (240, 200)


def test_numpy_answers(rgb):
    values = FDPVideoProcessor(alignment="none")(rgb, return_tensors="np")["pixel_values"]
    assert isinstance(values, np.ndarray) and values.shape == (1, 16, 1, 64, 64)


def test_gray_never_becomes_colour_again(rgb):
    for form in (rgb, rgb[..., :1], rgb[..., 0]):
        assert pixels(form).shape[2] == 1


def test_device_is_where_the_answer_lies(rgb):
    assert pixels(rgb, device="cpu").device.type == "cpu"
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    on_gpu = pixels(rgb, device="cuda")
    assert on_gpu.device.type == "cuda" and (on_gpu.cpu() - pixels(rgb)).abs().max() <= 1.01 / 127.5


@pytest.mark.parametrize("source", ["missing folder", "", 3.5, [], np.zeros((0, 4, 4), np.uint8)])
def test_unreadable_sources_are_one_sentence(source):
    with pytest.raises(ValueError) as error:
        FDPVideoProcessor(alignment="none")(source)
    assert "\n" not in str(error.value) and ";" in str(error.value)


def test_missing_path_is_a_read_error(tmp_path):
    with pytest.raises(VideoReadError, match="no-such"):
        FDPVideoProcessor(alignment="none").align_clip(tmp_path / "no-such")


# ---------------------------------------------------------------- Hugging Face


def test_pipeline_calls_the_processor_with_its_own_keywords(folder, write_video, rgb, tmp_path):
    from transformers import AutoModelForVideoClassification, pipeline

    from modeling_fdp import FDPConfig

    config = FDPConfig.from_preset("tiny", num_labels=3)
    model = AutoModelForVideoClassification.from_config(config).eval()
    processor = FDPVideoProcessor(alignment="none", size=config.image_size, num_frames=config.num_frames)
    classify = pipeline("video-classification", model=model, video_processor=processor)
    video = write_video(tmp_path / "clip.avi", rgb, "huffyuv", "rgb24")
    answers = [classify(source, top_k=3) for source in (str(folder), video)]
    assert len(answers[0]) == 3 and answers[0] == answers[1]
    with torch.no_grad():
        inputs = processor(str(folder), return_tensors="pt").to(model.device)
        scores = model(**inputs).logits[0].softmax(-1)
    clips = [rgb, rgb[::-1], rgb[5:]]
    one_by_one = classify(clips)
    # As docs/index.md says; transformers makes no batches from a video processor by itself.
    classify.image_processor = classify.video_processor
    for alone, together in zip(one_by_one, classify(clips, batch_size=2), strict=True):
        assert [answer["label"] for answer in alone] == [answer["label"] for answer in together]
        assert [answer["score"] for answer in together] == pytest.approx([answer["score"] for answer in alone])
    assert max(answer["score"] for answer in answers[0]) == pytest.approx(scores.max().item(), abs=1e-6)


_REMOTE = """
import sys, numpy as np
from transformers import AutoVideoProcessor
from transformers.video_utils import VideoMetadata
processor = AutoVideoProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)
assert not any(sys.modules.get(room) for room in ("modeling_fdp", "processing_fdp"))
np.save(sys.argv[3], processor(sys.argv[2], return_tensors="np")["pixel_values"])
print(type(processor).__module__)
"""


def test_saved_code_runs_without_this_package(folder, tmp_path):
    """The processor and every file it imports travel with a checkpoint; the package is not importable there."""
    processor = FDPVideoProcessor(alignment="none", num_frames=6)
    processor.save_pretrained(tmp_path / "saved")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules"), "OMP_NUM_THREADS": "1"}
    # -S -P would hide site-packages too; an editable install is hidden by blocking the name instead.
    code = "import sys; sys.modules['modeling_fdp'] = sys.modules['processing_fdp'] = None\n" + _REMOTE.replace(
        'assert not {"modeling_fdp", "processing_fdp"} & set(sys.modules)',
        'assert sys.modules["processing_fdp"] is None',
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "saved"), str(folder), str(tmp_path / "answer.npy")]
    result = subprocess.run(arguments, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=240)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.startswith("transformers_modules")
    assert np.array_equal(np.load(tmp_path / "answer.npy"), processor(folder, return_tensors="np")["pixel_values"])


def test_registered_class_is_what_the_auto_class_finds(tmp_path):
    importlib.import_module("training_fdp.methods.fdp_auto_classes")
    FDPVideoProcessor(alignment="none").save_pretrained(tmp_path)
    assert isinstance(AutoVideoProcessor.from_pretrained(tmp_path, trust_remote_code=True), FDPVideoProcessor)


def test_chosen_frames_are_those_of_the_whole_clip():
    clip = np.random.default_rng(0).integers(0, 256, (9, 40, 30), dtype=np.uint8)
    processor = FDPVideoProcessor(alignment="none", registration="translation", size=16)
    chosen = processor.align_clip(clip, np.array([0, 3, 8]))
    assert chosen.frames.shape == (3, 16, 16)
    assert torch.equal(chosen.frames, processor.align_clip(clip).frames[[0, 3, 8]])
