"""The clip cache: what comes out is what the processor prepares, and nothing stale ever does."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.protocols import ClipTable
from processing_fdp.clip_reading_fdp import VideoReadError
from processing_fdp.crop_geometry_fdp import FaceNotFoundError
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.data import __main__ as clips_command
from training_fdp.data import aligned_clips as clips_module
from training_fdp.data import corpora as corpora_module
from training_fdp.data.aligned_clips import prepare_clips
from training_fdp.data.corpora import Corpora, without_lost_clips
from training_fdp.errors import TrainingError

POINTS = [[12.0, 12], [28, 13], [20, 20], [14, 28], [26, 28]]


@pytest.fixture
def corpus(tmp_path):
    """Four clips of frames and one of a video file, in rows as the loaders make them."""
    datasets = pytest.importorskip("datasets")
    from hub_datasets.base import clip_features

    random = np.random.default_rng(0)
    rows = []
    for clip in range(5):
        pixels = random.integers(0, 256, (6 + clip, 40, 40), dtype=np.uint8)
        folder = tmp_path / "corpus" / f"clip{clip}"
        folder.mkdir(parents=True)
        frames, video, numbers = [], None, list(range(10, 16 + clip))
        if clip < 4:
            for number, frame in enumerate(pixels):
                frames.append(str(folder / f"img{number}.png"))
                Image.fromarray(frame).save(frames[-1])
        else:
            video, numbers = write_video(folder / "long.avi", np.repeat(pixels[..., None], 3, axis=-1)), [2, 4, 5, 9]
        rows.append(
            {
                "clip_id": f"toy/clip{clip}",
                "corpus": "toy",
                "subject": f"s{clip % 2}",
                "recording": "r",
                "frames": frames,
                "video": video,
                "frame_numbers": numbers,
                "onset_index": 0,
                "apex_index": None if clip == 1 else 2,
                "offset_index": len(numbers) - 1,
                "clip_end": "offset",
                "fps": 200.0,
                "action_units": [],
                "emotion": "happiness",
                "label": clip % 2,
                "notes": [],
            }
        )
    return datasets.Dataset.from_list(rows, features=clip_features(["a", "b"]))


def write_video(path, frames):
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("huffyuv", rate=30)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return str(path)


@pytest.fixture
def processor():
    return FDPVideoProcessor(alignment="none", size={"height": 16, "width": 16})


def count_preparations(monkeypatch):
    prepared = []
    original = clips_module._prepare_one

    def prepare(processor, row, path):
        prepared.append(row["clip_id"])
        original(processor, row, path)

    monkeypatch.setattr(clips_module, "_prepare_one", prepare)
    return prepared


@pytest.mark.parametrize("num_proc", [1, 2])
def test_clips_are_what_the_processor_prepares(num_proc, corpus, processor, tmp_path):
    clips = prepare_clips(corpus, processor, tmp_path / "cache", num_proc=num_proc)
    assert len(clips) == 5
    for clip, row in zip(clips, corpus, strict=True):
        source = row["video"] or row["frames"]
        expected = processor.align_clip(source, frame_numbers=row["frame_numbers"] if row["video"] else None).frames
        assert torch.equal(clip.frames, expected) and clip.frames.dtype == torch.uint8
        assert clip.apex == row["apex_index"]
        assert (clip.onset, clip.offset) == (0, len(expected) - 1)
        assert (clip.label, clip.clip_id, clip.subject) == (row["label"], row["clip_id"], row["subject"])


def test_second_run_prepares_nothing(corpus, processor, tmp_path, monkeypatch):
    first = prepare_clips(corpus, processor, tmp_path / "cache", num_proc=1)
    prepared = count_preparations(monkeypatch)
    again = prepare_clips(corpus, processor, tmp_path / "cache", num_proc=1)
    more_frames = FDPVideoProcessor(alignment="none", size={"height": 16, "width": 16}, num_frames=16)
    prepare_clips(corpus, more_frames, tmp_path / "cache", num_proc=1)
    assert prepared == []
    assert all(torch.equal(a.frames, b.frames) for a, b in zip(first, again, strict=True))


def test_others_may_read_a_shared_cache(corpus, processor, tmp_path):
    before = os.umask(0o022)
    try:
        clips = prepare_clips(corpus, processor, tmp_path, num_proc=1)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in clips.paths} == {0o644}


def test_labels_come_from_the_rows_and_not_from_the_cache(corpus, processor, tmp_path, monkeypatch):
    prepare_clips(corpus, processor, tmp_path / "cache", num_proc=1)
    prepared = count_preparations(monkeypatch)
    relabelled = corpus.map(lambda row: {"label": 1 - row["label"], "subject": "x" + row["subject"]})
    clips = prepare_clips(relabelled, processor, tmp_path / "cache", num_proc=1)
    assert prepared == [] and [clip.label for clip in clips] == [1, 0, 1, 0, 1]
    assert [clip.subject for clip in clips] == ["xs0", "xs1", "xs0", "xs1", "xs0"]


def test_only_what_changed_is_prepared_again(corpus, processor, tmp_path, monkeypatch):
    prepare_clips(corpus, processor, tmp_path / "cache", num_proc=1)
    prepared = count_preparations(monkeypatch)
    changed = corpus[2]["frames"][3]
    Image.fromarray(np.full((40, 40), 7, np.uint8)).save(changed)
    os.utime(changed, ns=(1, 1))
    clips = prepare_clips(corpus, processor, tmp_path / "cache", num_proc=1)
    assert prepared == ["toy/clip2"] and (clips[2].frames[3] == 7).all()
    shorter = corpus.map(lambda row: {"frame_numbers": row["frame_numbers"][:2]} if row["video"] else {})
    assert len(prepare_clips(shorter, processor, tmp_path / "cache", num_proc=1)[4].frames) == 2
    assert prepared == ["toy/clip2", "toy/clip4"]


def test_other_settings_have_other_clips(corpus, processor, tmp_path):
    small = prepare_clips(corpus, processor, tmp_path / "cache", num_proc=1)
    large = prepare_clips(corpus, FDPVideoProcessor(alignment="none", size=24), tmp_path / "cache", num_proc=1)
    assert small[0].frames.shape[1:] == (16, 16) and large[0].frames.shape[1:] == (24, 24)


def test_run_that_broke_off_keeps_its_clips(corpus, processor, tmp_path, monkeypatch):
    broken = corpus[3]["frames"][1]
    whole = Path(broken).read_bytes()
    Path(broken).write_bytes(b"damaged")
    with pytest.raises(VideoReadError, match=r"img1\.png"):
        prepare_clips(corpus, processor, tmp_path / "cache", num_proc=1)
    left = list((tmp_path / "cache").rglob("*"))
    assert not [path for path in left if path.suffix == ".part"]
    folder = next(path for path in left if path.is_dir())
    for name, age in (("stale", 2 * 24 * 3600), ("fresh", 60)):
        (folder / f".{name}.part").touch()
        os.utime(folder / f".{name}.part", (time.time() - age,) * 2)
    Path(broken).write_bytes(whole)
    prepared = count_preparations(monkeypatch)
    assert len(prepare_clips(corpus, processor, tmp_path / "cache", num_proc=1)) == 5
    assert prepared == ["toy/clip3", "toy/clip4"]
    assert [path.name for path in folder.glob(".*.part")] == [".fresh.part"]


def test_a_kill_while_a_clip_is_written_leaves_none_behind(corpus, processor, tmp_path, monkeypatch):
    def die_halfway(file, values):
        file.write(b"half a clip")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training_fdp.data.aligned_clips.np.save", die_halfway)
        with pytest.raises(KeyboardInterrupt):
            prepare_clips(corpus, processor, tmp_path / "cache", num_proc=1)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize("kept", [0, 60, 500])
def test_a_damaged_clip_is_named_and_prepared_again_once_it_is_deleted(corpus, processor, tmp_path, kept):
    """A cache is not brought to the disk file by file: a machine that loses its power may cut some."""
    clips = prepare_clips(corpus, processor, tmp_path, num_proc=1)
    frames = clips[1].frames
    content = clips.paths[1].read_bytes()
    assert len(content) > kept
    clips.paths[1].write_bytes(content[:kept])
    with pytest.raises(TrainingError, match=rf"{clips.paths[1].name} cannot be read.*delete the file"):
        torch.sum(clips[1].frames)
    clips.paths[1].unlink()
    assert torch.equal(prepare_clips(corpus, processor, tmp_path, num_proc=1)[1].frames, frames)


def test_errors_of_worker_processes_keep_their_type(corpus, processor, tmp_path):
    Path(corpus[3]["frames"][1]).unlink()
    with pytest.raises(VideoReadError, match=r"img1\.png"):
        prepare_clips(corpus, processor, tmp_path / "cache", num_proc=2)
    refusing = FDPVideoProcessor(alignment="precomputed", landmarks_path=write_table(tmp_path, []))
    with pytest.raises(FaceNotFoundError, match="toy/clip"):
        prepare_clips(corpus, refusing, tmp_path / "cache", num_proc=2)


def test_killed_worker_is_one_sentence(corpus, processor, tmp_path, monkeypatch):
    monkeypatch.setattr(clips_module, "_prepare_one", lambda *_: os._exit(9))
    with pytest.raises(TrainingError, match="num_proc=1"):
        prepare_clips(corpus, processor, tmp_path / "cache", num_proc=2)


def test_wrong_number_of_processes_is_refused(corpus, processor, tmp_path):
    with pytest.raises(ConfigError, match="num_proc"):
        prepare_clips(corpus, processor, tmp_path, num_proc=0)


def write_table(folder, clip_ids):
    from processing_fdp.landmark_tables_fdp import LANDMARK_COLUMNS

    path = folder / "landmarks.csv"
    points = ",".join(str(value) for point in POINTS for value in point)
    lines = [",".join(LANDMARK_COLUMNS), *(f"{clip_id},-1,{points}" for clip_id in clip_ids)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_landmarks_are_kept_and_read_again(corpus, tmp_path, monkeypatch):
    table = write_table(tmp_path, corpus["clip_id"])
    processor = FDPVideoProcessor(size=16, alignment="precomputed", landmarks_path=table)
    first = prepare_clips(corpus, processor, tmp_path / "cache", num_proc=1)
    kept = tmp_path / "kept" / "landmarks.parquet"
    assert first.write_landmarks(kept) == 5
    again = FDPVideoProcessor(size=16, alignment="precomputed", landmarks_path=str(kept))
    second = prepare_clips(corpus, again, tmp_path / "cache", num_proc=1)
    assert all(torch.equal(a.frames, b.frames) for a, b in zip(first, second, strict=True))
    # Another table under the same name is another input.
    prepared = count_preparations(monkeypatch)
    os.utime(kept, ns=(5, 5))
    prepare_clips(corpus, again, tmp_path / "cache", num_proc=1)
    assert len(prepared) == 5


def test_table_beside_the_clips_is_an_input_too(corpus, tmp_path, monkeypatch):
    # Frames are looked after in their folder and in the one that holds it; the video lies too deep for this table.
    corpus = corpus.select(range(4))
    table = write_table(tmp_path / "corpus", corpus["clip_id"])
    processor = FDPVideoProcessor(size=16, alignment="precomputed")
    prepare_clips(corpus, processor, tmp_path / "cache", num_proc=1)
    prepared = count_preparations(monkeypatch)
    prepare_clips(corpus, processor, tmp_path / "cache", num_proc=1)
    assert prepared == []
    os.utime(table, ns=(5, 5))
    prepare_clips(corpus, processor, tmp_path / "cache", num_proc=1)
    assert len(prepared) == 4
    # Without alignment nobody reads it.
    plain = FDPVideoProcessor(alignment="none", size=16)
    prepare_clips(corpus, plain, tmp_path / "cache", num_proc=1)
    os.utime(table, ns=(9, 9))
    prepared.clear()
    prepare_clips(corpus, plain, tmp_path / "cache", num_proc=1)
    assert prepared == []


def test_without_landmarks_no_table_is_written(corpus, processor, tmp_path):
    clips = prepare_clips(corpus, processor, tmp_path / "cache", num_proc=1)
    assert clips.write_landmarks(tmp_path / "none.parquet") == 0 and not (tmp_path / "none.parquet").exists()


# ---------------------------------------------------------------- the command line


@pytest.fixture
def command(corpus, monkeypatch, tmp_path, capsys):
    def load(options, faces=True):
        names = list(corpus["clip_id"])
        table = ClipTable(names, corpus["corpus"], corpus["subject"], corpus["label"], ["a", "b"])
        return Corpora(corpus, table, faces_may_be_published=faces)

    monkeypatch.setattr("training_fdp.data.corpora.load_corpora", load)

    def run(*arguments):
        clips_command.main(["--corpus", "toy", "--cache_dir", str(tmp_path / "cache"), "--num_proc", "1", *arguments])
        return capsys.readouterr().out

    return run


def test_command_prepares_and_draws(command, corpus, tmp_path):
    table = write_table(tmp_path, corpus["clip_id"])
    sheet, kept = tmp_path / "sheet.png", tmp_path / "found.parquet"
    output = command(
        "--image_size", "20",
        "--processor_overrides", "alignment=precomputed", f"landmarks_path={table}", "crop_scale=2.0",
        "--contact_sheet", str(sheet), "--landmarks_file", str(kept),
    )  # fmt: skip
    assert "5 clips of 20 x 20 pixels" in output and str(kept) in output
    image = Image.open(sheet)
    assert image.mode == "L" and image.height == 5 * 24
    processor = FDPVideoProcessor(size=20, alignment="precomputed", landmarks_path=table, crop_scale=2.0)
    clip = processor.align_clip(corpus[0]["frames"], clip_id=corpus[0]["clip_id"]).frames
    drawn = np.asarray(image)
    for column, index in enumerate((0, 2, 5)):
        assert np.array_equal(drawn[:20, column * 24 : column * 24 + 20], clip[index])


def test_command_refuses_a_sheet_of_protected_faces(command, monkeypatch, tmp_path):
    load = corpora_module.load_corpora
    monkeypatch.setattr(corpora_module, "load_corpora", lambda options: load(options, faces=False))
    with pytest.raises(ConfigError, match="licence"):
        command("--contact_sheet", str(tmp_path / "sheet.png"))
    assert not (tmp_path / "sheet.png").exists() and not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--processor_overrides", "alignment=yolo"], "alignment is one of"),
        (["--nonsense"], "lists the options"),
        (["--image_size", "x"], "lists the options"),
        (["--processor_overrides", "face=smallest"], "largest"),
        (["--contact_sheet", "sheet.jpg"], r"\.png"),
        (["--processor_overrides", "alignment=none", "--landmarks_file", "x.parquet"], "finds none"),
    ],
)
def test_command_refuses_wrong_options(arguments, words, command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words):
        command(*arguments)


def test_command_line_exits_with_one_sentence(tmp_path):
    arguments = [sys.executable, "-m", "training_fdp.data", "--corpus", "casme2", "--data_dir", str(tmp_path / "no")]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(tmp_path)}
    result = subprocess.run(
        arguments, capture_output=True, text=True, env=environment, timeout=240, cwd=Path(__file__).parents[3]
    )
    assert result.returncode == 2
    lines = result.stderr.strip().splitlines()
    assert lines[-1].startswith("error: ") and "Traceback" not in result.stderr


@pytest.mark.parametrize("num_proc", [1, 2])
def test_clips_that_cannot_be_used_are_left_out_by_name(corpus, processor, tmp_path, num_proc):
    broken = Path(corpus[3]["frames"][1])
    broken.write_bytes(broken.read_bytes()[:60])
    Path(corpus[0]["frames"][2]).unlink()
    clips = prepare_clips(corpus, processor, tmp_path / "cache", num_proc=num_proc, keep_going=True)
    assert [clip.clip_id for clip in clips] == ["toy/clip1", "toy/clip2", "toy/clip4"]
    assert set(clips.lost) == {0, 3} and "img1.png" in clips.lost[3]
    names = ["clip_id", "corpus", "subject", "label"]
    table = ClipTable(*(list(corpus[name]) for name in names), ["a", "b"])
    kept = without_lost_clips(Corpora(corpus, table, True), clips.lost)
    assert list(kept.table.clip_ids) == list(kept.dataset["clip_id"]) == [clip.clip_id for clip in clips]
    (said,) = kept.warnings
    assert said.startswith("2 clips of toy cannot be used: ") and "toy/clip0" in said and "toy/clip3" in said
    with pytest.raises(VideoReadError):
        prepare_clips(corpus, processor, tmp_path / "cache", num_proc=num_proc)
    with pytest.raises(ConfigError, match=r"no clip is left: 5 clips of toy .* \(no face\)"):
        without_lost_clips(Corpora(corpus, table, True), dict.fromkeys(range(5), "no face"))


def test_settings_that_no_clip_can_be_aligned_by_are_never_lost_clips(corpus, tmp_path):
    processor = FDPVideoProcessor(size={"height": 16, "width": 16}, alignment="precomputed")
    with pytest.raises(VideoReadError, match="landmark table"):
        prepare_clips(corpus, processor, tmp_path / "cache", num_proc=1, keep_going=True)
