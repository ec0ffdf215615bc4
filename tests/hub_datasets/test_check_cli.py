"""`python -m hub_datasets`: list, describe, check, fake."""

import json
import shutil
import subprocess
import sys

import pytest

from hub_datasets.__main__ import main
from hub_datasets.registry import CORPUS_NAMES
from tests.fakes.cas_me_2 import write_video
from tests.fakes.fake import make_fake_corpus

JSON_KEYS = {
    "corpus", "variant", "rows", "clips", "subjects", "class_counts", "expected_class_counts", "missing_frames",
    "repaired", "unreadable", "usable",
}  # fmt: skip


@pytest.fixture
def check(capsys, tmp_path):
    """`check(name, root, *words)`: exit code, parsed JSON and standard error."""

    def run(name, root, *words):
        code = main(["check", name, "--data_dir", str(root), "--cache_dir", str(tmp_path / "cache"), "--json", *words])
        streams = capsys.readouterr()
        return code, json.loads(streams.out), streams.err

    return run


def test_complete_download_is_usable(check, fake_corpus):
    code, report, _ = check("smic", fake_corpus("smic", "hs_raw", full_size=True))
    assert code == 0 and set(report) == JSON_KEYS
    assert report == {
        "corpus": "smic", "variant": "package hs_raw", "rows": 164, "clips": 164, "subjects": 16,
        "class_counts": {"negative": 70, "positive": 51, "surprise": 43},
        "expected_class_counts": {"negative": 70, "positive": 51, "surprise": 43},
        "missing_frames": 0, "repaired": [], "unreadable": [], "usable": True,
    }  # fmt: skip


@pytest.mark.parametrize(("name", "num_clips"), [("smic", 0), ("fourdme", 30)])
def test_text_says_how_many_clips_have_action_units(fake_corpus, capsys, tmp_path, name, num_clips):
    main(["check", name, "--data_dir", str(fake_corpus(name)), "--cache_dir", str(tmp_path)])
    assert f"action units     coded in {num_clips} clips" in capsys.readouterr().out


def test_repairs_are_no_losses(check, fake_corpus):
    code, report, _ = check("casme2", fake_corpus("casme2", full_size=True), "--label_set", "7class")
    assert code == 0 and report["usable"]
    assert "casme2/sub04/EP12_01f/261" in {item["clip_id"] for item in report["repaired"]}
    assert all(item["reason"] for item in report["repaired"])


def test_losses_are_reported(check, fake_corpus):
    code, report, _ = check("smic", fake_corpus("smic", "hs_cropped", full_size=True))
    assert code == 1 and report["usable"] and report["missing_frames"] == 5
    assert [item["clip_id"] for item in report["unreadable"]] == ["smic/hs/s18_sur_03"]


def test_unusable_download_and_wrong_names(check, tmp_path, fake_corpus):
    for name, root, words, message in (
        ("casme2", tmp_path / "nowhere", (), "there is no such folder"),
        ("casme2", fake_corpus("samm"), (), "no annotation sheet"),
        ("casme2", fake_corpus("casme2"), ("--label_set", "9class"), "'9class' was given"),
        ("casme2", fake_corpus("casme2"), ("--option", "package=red"), "'red' was given"),
        ("casme2", fake_corpus("casme2"), ("--option", "package"), "KEY=VALUE"),
        ("nope", tmp_path, (), "'nope' was given"),
    ):
        code, report, error = check(name, root, *words)
        assert code == 2 and set(report) == JSON_KEYS and not report["usable"]
        assert error.startswith("error: ") and message in error


def test_no_frame_left_is_unusable(check, damaged_corpus):
    root = damaged_corpus("casme2")
    for path in root.rglob("*.jpg"):
        path.unlink()
    code, report, _ = check("casme2", root)
    assert code == 2 and report["clips"] == 0 and report["unreadable"] and not report["usable"]


def test_deep_opens_every_image(check, damaged_corpus):
    root = damaged_corpus("smic", "hs_raw")
    frames = sorted(root.rglob("*.bmp"))
    frames = [path for path in frames if "non_micro" not in path.parts]
    frames[0].write_text("a frame that is a text file")
    frames[1].write_bytes(frames[1].read_bytes()[:60])
    frames[2].write_bytes(b"")
    shallow = check("smic", root)[1]
    code, deep, _ = check("smic", root, "--deep")
    assert shallow["unreadable"] == [] and code == 1
    assert [item["path"] for item in deep["unreadable"]] == [str(path) for path in frames[:3]]
    clips = {path.parent for path in frames[:3]}
    assert deep["clips"] == shallow["clips"] - len(clips)


def test_deep_opens_every_video(check, damaged_corpus):
    root = damaged_corpus("cas_me_2", "rawvideo")
    videos = sorted(root.rglob("*.avi"))
    whole = check("cas_me_2", root, "--deep")[1]
    assert not [item for item in whole["unreadable"] if "path" in item]
    videos[0].write_bytes(b"no video")
    found = check("cas_me_2", root, "--deep")[1]
    assert [item["path"] for item in found["unreadable"] if "path" in item] == [str(videos[0])]


def test_deep_loses_only_the_clips_that_a_shorter_video_no_longer_holds(check, scan, damaged_corpus):
    root = damaged_corpus("cas_me_2", "rawvideo")
    recordings = {}
    for clip in scan("cas_me_2", root).clips:
        recordings.setdefault(clip.location, []).append(clip)
    video, clips = max(recordings.items(), key=lambda item: len(item[1]))
    ends = sorted(max(clip.numbers) for clip in clips)
    assert len(ends) > 1 and ends[0] < ends[-1]
    write_video(video, num_frames=ends[0] + 1)
    whole, found = check("cas_me_2", root)[1], check("cas_me_2", root, "--deep")[1]
    lost = {clip.record.clip_id for clip in clips if max(clip.numbers) > ends[0]}
    assert {item["clip_id"] for item in found["unreadable"] if "clip_id" in item} == lost
    assert found["clips"] == whole["clips"] - len(lost)


def test_only_deep_has_read_the_frames(capsys, fake_corpus, tmp_path):
    words = ["check", "smic", "--data_dir", str(fake_corpus("smic", "hs_raw")), "--cache_dir", str(tmp_path)]
    main(words)
    assert "not read, only listed; --deep reads them all" in capsys.readouterr().out
    main([*words, "--deep"])
    assert "only listed" not in capsys.readouterr().out


def test_option_chooses_the_package(check, fake_corpus):
    root = fake_corpus("casme2", "2014-two-packages")
    assert check("casme2", root, "--option", "package=selected")[1]["variant"].endswith("package selected")


def test_text_report_names_the_published_counts(capsys, damaged_corpus, tmp_path):
    root = damaged_corpus("smic", "hs_cropped")
    victim = next(path for path in sorted(root.rglob("s20_*")) if path.is_dir())
    shutil.rmtree(victim)
    (next(victim.parent.glob("s20_*")) / "image1.bmp").touch()
    main(["check", "smic", "--data_dir", str(root), "--cache_dir", str(tmp_path / "cache")])
    text = capsys.readouterr().out
    assert "(published: 70)" in text and "usable with losses" in text and "subjects" in text
    assert "last frames      unknown " in text and "lost clip        smic/hs/s18_sur_03: no folder" in text


def test_text_report_tells_lost_clips_from_unreadable_files(capsys, damaged_corpus, tmp_path):
    root = damaged_corpus("samm")
    folders = sorted(path for path in root.rglob("*_*_*") if path.is_dir())
    shutil.rmtree(folders[0])
    frame = next(folders[1].iterdir())
    frame.write_text("no image")
    words = ["--data_dir", str(root), "--cache_dir", str(tmp_path / "cache"), "--label_set", "8class"]
    assert main(["check", "samm", *words, "--deep"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"lost clip        samm/{folders[0].parent.name}/{folders[0].name}/") for line in lines)
    assert any(line.startswith("unreadable") and frame.name in line for line in lines)


@pytest.mark.parametrize("name", CORPUS_NAMES)
def test_describe_prints_the_data_sheet(name, capsys):
    assert main(["describe", name]) == 0
    text = capsys.readouterr().out
    assert "Expected tree:" in text and "Label sets:" in text and "Access" in text


def test_list_prints_all_corpora(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == list(CORPUS_NAMES)


def test_check_reads_what_the_fake_writes(tmp_path):
    root = make_fake_corpus("custom", tmp_path / "mine")
    assert main(["check", "custom", "--data_dir", str(root), "--cache_dir", str(tmp_path / "cache")]) == 0


def test_module_runs_as_a_command():
    run = subprocess.run([sys.executable, "-m", "hub_datasets", "describe", "nope"], capture_output=True, text=True)
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.startswith("error: ") and "Traceback" not in run.stderr
