"""The synthetic corpus on disk: rendered once, resumed, refused, and read by the loaders of the real corpora."""

import filecmp
import json
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from hub_datasets import get_builder_class, load_corpus
from hub_datasets.__main__ import main
from hub_datasets.errors import CorpusError, CorpusOptionError, DatasetNotFoundError
from hub_datasets.synthetic import tree
from hub_datasets.synthetic.corpus import Synthetic
from hub_datasets.synthetic.layouts import SyntheticLayout, objective_class
from hub_datasets.synthetic.settings import CorpusSettings
from hub_datasets.synthetic.tree import MANIFEST, is_complete, write_tree

SMALL = {"num_subjects": 2, "clips_per_subject": 3, "size": 32, "fps": 60}
SETTINGS = CorpusSettings(num_subjects=2, num_clips=4, size_hw=(32, 32), fps=60.0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def corpus(cache):
    return load_corpus("synthetic", cache_dir=cache, **SMALL)


def generate(root, *words):
    return main(["generate", "--output_dir", str(root), "--size", "32", "32", *words])


def files_below(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_rows_follow_the_contract(corpus):
    assert len(corpus) == 6
    assert sorted(set(corpus["subject"])) == ["s001", "s002"]
    assert len(set(corpus["clip_id"])) == 6
    assert corpus.features["label"].names == ["negative", "positive", "surprise"]
    assert set(corpus["label"]) == {0, 1, 2}
    for row in corpus:
        assert row["corpus"] == "synthetic"
        assert row["onset_index"] == 0
        assert 0 < row["apex_index"] < row["offset_index"] == len(row["frames"]) - 1
        assert row["fps"] == 60
        assert row["action_units"]
        assert row["video"] is None
        assert row["notes"] == []
        with Image.open(row["frames"][0]) as frame:
            assert (frame.mode, frame.size) == ("L", (32, 32))


def test_ground_truth_lies_beside_and_agrees_with_the_rows(corpus, cache):
    (truth_folder,) = cache.glob("synthetic_frames/*/ground_truth")
    for row in corpus:
        with np.load(truth_folder / f"{row['recording'].replace('/', '_')}.npz") as truth:
            assert len(truth["curves"]) == len(row["frames"])
            assert truth["event_frames"].tolist() == [[row["onset_index"], row["apex_index"], row["offset_index"]]]
            assert truth["event_emotions"].tolist() == [row["emotion"]]
            names, peaks = truth["curve_names"], truth["curves"].max(axis=0)
            moving = {str(name) for name, peak in zip(names, peaks, strict=True) if peak > 0}
            assert {name[1:] for name in moving} == {unit["code"] for unit in row["action_units"]}


def test_a_second_load_renders_nothing(corpus, cache, monkeypatch):
    monkeypatch.setattr(tree, "render_recording", None)
    again = load_corpus("synthetic", cache_dir=cache, **SMALL)
    assert again["clip_id"] == corpus["clip_id"]


def test_other_settings_get_a_cache_of_their_own(cache, corpus):
    other = load_corpus("synthetic", cache_dir=cache, **{**SMALL, "seed": 1, "clips_per_subject": 1})
    assert len(other) == 2
    assert not set(other[0]["frames"]) & set(corpus[0]["frames"])


def test_the_tree_can_be_given_as_data_dir(corpus, cache, tmp_path):
    (root,) = {path.parents[3] for path in map(tree.Path, [corpus[0]["frames"][0]])}
    nine = load_corpus("synthetic", data_dir=root, label_set="9class", cache_dir=tmp_path)
    assert nine["emotion"] == corpus["emotion"]
    assert nine["label"] == [nine.features["label"].names.index(emotion) for emotion in corpus["emotion"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_subjects": 0}, "num_subjects must be 1 to"),
        ({"size": 5}, "32 to 4096 pixels"),
        ({"size": "big"}, "takes a number, but 'big'"),
        ({"fps": 5}, "fps must be 10 to"),
        ({"difficulty": "brutal"}, "'brutal'"),
        ({"mix": "casme9"}, "'casme9'"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_options_are_named(options, message, tmp_path):
    with pytest.raises(CorpusOptionError, match=message):
        load_corpus("synthetic", cache_dir=tmp_path, **options)
    assert not files_below(tmp_path)


@pytest.mark.parametrize("label_set", Synthetic.LABEL_SETS, ids=lambda label_set: label_set.name)
def test_no_class_of_a_label_set_is_empty_by_default(label_set):
    # Not initialised: that would render the corpus.
    builder = Synthetic.__new__(Synthetic)
    builder.label_set, builder.options = label_set, {}
    emotions = {emotion for recording in builder.settings().recordings() for emotion in recording.emotions}
    assert {label_set.mapping.get(emotion) for emotion in emotions} == set(label_set.names)


@pytest.mark.parametrize("options", [{"difficulty": "hard"}, {"seed": 0, "num_subjects": 3}, {"face_model": "faces"}])
def test_options_of_the_rendering_are_refused_for_a_tree_that_is_there(options, tmp_path):
    with pytest.raises(CorpusOptionError, match="leave data_dir out") as error:
        Synthetic(data_dir=tmp_path, **options)
    assert all(name in str(error.value) for name in options)


def test_an_unknown_option_is_told_all_that_there_are(tmp_path):
    with pytest.raises(CorpusOptionError, match="num_subject was given: choose among these") as error:
        load_corpus("synthetic", cache_dir=tmp_path, num_subject=3)
    known = ("num_subjects", "clips_per_subject", "seed", "size", "fps", "difficulty", "mix", "face_model", "package")
    assert all(f"{name}," in str(error.value) for name in known)


def test_a_tree_that_is_not_there_is_no_licensed_one(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="leave data_dir out to have it rendered") as error:
        Synthetic(data_dir=tmp_path / "absent")
    assert "licensed" not in str(error.value) and "nowhere" not in str(error.value)


def test_a_missing_face_model_leaves_nothing_behind(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="no such folder"):
        load_corpus("synthetic", cache_dir=tmp_path / "cache", face_model=tmp_path / "absent")
    assert main(["generate", "--output_dir", str(tmp_path / "out"), "--face_model", str(tmp_path / "absent")]) == 2
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "out").exists()


def test_the_same_seed_gives_the_same_files_whatever_the_number_of_processes(tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    write_tree(SETTINGS, SyntheticLayout(), alone)
    write_tree(SETTINGS, SyntheticLayout(), together, num_proc=2)
    names = files_below(alone)
    assert names == files_below(together)
    pictures = [name for name in names if name.endswith((".jpg", ".csv"))]
    assert filecmp.cmpfiles(alone, together, pictures, shallow=False) == (pictures, [], [])


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    rendered = []
    render = tree.render_recording

    def stop_after_two(settings, layout, root, filed):
        if len(rendered) == 2:
            raise KeyboardInterrupt
        rendered.append(filed.folder)
        render(settings, layout, root, filed)

    monkeypatch.setattr(tree, "render_recording", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        write_tree(SETTINGS, SyntheticLayout(), tmp_path)
    assert not is_complete(tmp_path, SETTINGS, SyntheticLayout())
    assert not list(tmp_path.glob("clips.csv"))

    again = []
    monkeypatch.setattr(tree, "render_recording", lambda *words: (again.append(words[3].folder), render(*words)))
    write_tree(SETTINGS, SyntheticLayout(), tmp_path)
    assert len(again) == 2
    assert not set(again) & set(rendered)
    assert is_complete(tmp_path, SETTINGS, SyntheticLayout())
    assert not [name for name in files_below(tmp_path) if "/." in name or name.startswith(".")]


def test_a_killed_process_is_one_sentence(tmp_path, monkeypatch):
    class KilledPool(ThreadPoolExecutor):
        def __init__(self, workers, **unused):
            super().__init__(workers)

        def submit(self, *unused):
            future = Future()
            future.set_exception(BrokenProcessPool("killed"))
            return future

    monkeypatch.setattr(tree, "ProcessPoolExecutor", KilledPool)
    with pytest.raises(CorpusError, match=r'if __name__ == "__main__":.*fewer processes'):
        write_tree(SETTINGS, SyntheticLayout(), tmp_path, num_proc=2)
    assert not is_complete(tmp_path, SETTINGS, SyntheticLayout())


def begun(root):
    (root / f"{MANIFEST}.unfinished").write_text(f"synthetic {SETTINGS.digest()}")


def hidden(root):
    return sorted(path.name for path in root.rglob(".*"))


def test_a_recording_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def stop(face, performance):
        yield np.zeros((32, 32), np.uint8)
        raise KeyboardInterrupt

    monkeypatch.setattr(tree, "film", stop)
    with pytest.raises(KeyboardInterrupt):
        write_tree(SETTINGS, SyntheticLayout(), tmp_path)
    assert hidden(tmp_path) == []


def test_what_a_killed_run_left_is_swept_before_the_tree_is_finished(tmp_path):
    begun(tmp_path)
    leftovers = [tmp_path / "recordings/s001/.4711.r001", tmp_path / "recordings/s002/.4711.r002"]
    for folder in leftovers:
        folder.mkdir(parents=True)
        (folder / "00001.jpg").touch()
    (tmp_path / "ground_truth").mkdir()
    (tmp_path / "ground_truth/.4711.s001_r001.npz").touch()
    (tmp_path / "recordings/s001/.DS_Store").touch()
    write_tree(SETTINGS, SyntheticLayout(), tmp_path)
    assert hidden(tmp_path) == [".DS_Store"]


def test_a_run_killed_while_it_claimed_its_folder_can_be_repeated(tmp_path):
    (tmp_path / f".4711.{MANIFEST}.unfinished").touch()
    write_tree(SETTINGS, SyntheticLayout(), tmp_path)
    assert is_complete(tmp_path, SETTINGS, SyntheticLayout())


def test_a_living_process_whose_recording_another_one_finished_goes_on(tmp_path, monkeypatch):
    begun(tmp_path)
    film = tree.film

    def overtaken(face, performance):
        frames = film(face, performance)
        yield next(frames)
        with monkeypatch.context() as other:
            other.setattr(tree, "film", film)
            other.setattr(tree.os, "getpid", lambda: 4711)
            write_tree(SETTINGS, SyntheticLayout(), tmp_path)
        assert hidden(tmp_path) == []
        yield from frames

    monkeypatch.setattr(tree, "film", overtaken)
    write_tree(SETTINGS, SyntheticLayout(), tmp_path)
    assert is_complete(tmp_path, SETTINGS, SyntheticLayout())
    assert hidden(tmp_path) == []


def test_frames_without_ground_truth_are_taken_over(tmp_path):
    write_tree(SETTINGS, SyntheticLayout(), tmp_path)
    whole = files_below(tmp_path)
    (tmp_path / "ground_truth/s001_r001.npz").unlink()
    (tmp_path / MANIFEST).rename(tmp_path / f"{MANIFEST}.unfinished")
    (tmp_path / f"{MANIFEST}.unfinished").write_text(f"synthetic {SETTINGS.digest()}")
    write_tree(SETTINGS, SyntheticLayout(), tmp_path)
    assert files_below(tmp_path) == whole


def test_the_landmark_tables_hold_the_ground_truth_clip_by_clip(corpus):
    for row in corpus:
        subject, recording = row["recording"].split("/")
        folder = Path(row["frames"][0]).parent.parent
        table = parquet.read_table(folder / "landmarks.parquet").to_pandas()
        with np.load(folder.parents[1] / f"ground_truth/{subject}_{recording}.npz") as truth:
            points = truth["five_points"].reshape(-1, 10)
        for key in (row["clip_id"], recording):
            found = table[table["clip_id"] == key]
            assert found["frame_index"].tolist() == list(range(len(row["frames"])))
            np.testing.assert_array_equal(found.iloc[:, 2:], points)


def as_if_rendered_before_tables(root):
    manifest = json.loads((root / MANIFEST).read_text())
    del manifest["landmark_tables"]
    (root / MANIFEST).write_text(json.dumps(manifest))
    tables = list(root.rglob("landmarks.parquet"))
    for path in tables:
        path.unlink()
    return tables


def test_a_tree_rendered_without_tables_gains_them_and_no_frame(tmp_path, monkeypatch):
    write_tree(SETTINGS, SyntheticLayout(), tmp_path)
    whole = files_below(tmp_path)
    assert as_if_rendered_before_tables(tmp_path)
    monkeypatch.setattr(tree, "render_recording", None)
    write_tree(SETTINGS, SyntheticLayout(), tmp_path)
    assert files_below(tmp_path) == whole
    monkeypatch.setattr(tree, "write_landmark_tables", None)
    write_tree(SETTINGS, SyntheticLayout(), tmp_path)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:200])])
def test_a_finished_tree_without_whole_ground_truth_stays_usable(damage, tmp_path, caplog):
    write_tree(SETTINGS, SyntheticLayout(), tmp_path)
    tables = as_if_rendered_before_tables(tmp_path)
    damage(tmp_path / "ground_truth/s002_r001.npz")
    write_tree(SETTINGS, SyntheticLayout(), tmp_path)
    assert "landmark tables cannot be written" in caplog.text
    assert not all(path.exists() for path in tables)
    assert len(load_corpus("synthetic", data_dir=tmp_path, cache_dir=tmp_path / "cache")) == SETTINGS.num_clips


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(CorpusError, match="folder of its own"):
        write_tree(SETTINGS, SyntheticLayout(), tmp_path)
    assert files_below(tmp_path) == ["thesis.txt"]


def test_an_unwritable_folder_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="cannot be written"):
        write_tree(SETTINGS, SyntheticLayout(), tmp_path / "file" / "corpus")


def test_the_manifest_says_that_the_faces_are_rendered_and_names_no_path(tmp_path):
    assert generate(tmp_path, "--num_subjects", "1", "--clips", "1") == 0
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    assert "rendered" in manifest["what"]
    assert str(tmp_path) not in (tmp_path / MANIFEST).read_text()
    assert manifest["settings"]["num_clips"] == 1


@pytest.mark.parametrize(
    ("layout", "label_set", "subject"), [("casme2", "5class", "sub01"), ("samm", "8class", "006")]
)
def test_the_loaders_of_real_corpora_read_generated_trees(layout, label_set, subject, tmp_path, capsys):
    root = tmp_path / "tree"
    words = ["--layout", layout, "--num_subjects", "2", "--clips", "8", "--fps", "60", "--duration_s", "0.1", "0.2"]
    assert generate(root, *words) == 0
    assert f"load_corpus('{layout}'" in capsys.readouterr().out
    builder = get_builder_class(layout)(data_dir=root, config_name=label_set, cache_dir=tmp_path)
    assert builder.is_rendered, "figures on this tree must be labelled synthetic"
    assert builder.rendered_roots == {layout: root}
    rows = builder.prepare()
    assert len(rows) == 8
    assert rows[0]["subject"] == subject
    for row in rows:
        first = row["frame_numbers"][0]
        assert row["frame_numbers"] == list(range(first, first + len(row["frames"])))
        assert row["notes"] == []
        assert row["apex_index"] is not None
        assert row["action_units"]
    # 1: the number of clips is not the published one.
    words = ["--data_dir", str(root), "--label_set", label_set, "--cache_dir", str(tmp_path), "--deep"]
    assert main(["check", layout, *words]) == 1
    report = " ".join(capsys.readouterr().out.split())
    assert "8 usable, 8 of them with all frames missing frames 0 surplus frames 0" in report


def test_every_layout_holds_the_same_frames_under_the_same_settings(tmp_path):
    """So one corpus can be trained on under one name and tested under another."""
    words = ["--num_subjects", "2", "--clips", "3", "--fps", "60", "--size", "48", "48", "--mix", "casme2"]
    words += ["--duration_s", "0.1", "0.2", "--difficulty", "mild"]
    frames = {}
    for layout in ("synthetic", "casme2", "samm"):
        assert generate(tmp_path / layout, "--layout", layout, *words) == 0
        frames[layout] = sorted(path.read_bytes() for path in (tmp_path / layout).rglob("*.jpg"))
    assert frames["synthetic"] and frames["synthetic"] == frames["casme2"] == frames["samm"]


@pytest.mark.parametrize(("layout", "label_set"), [("synthetic", "9class"), ("casme2", "7class"), ("samm", "8class")])
def test_a_rendered_tree_below_the_root_is_told_from_recorded_people(layout, label_set, tmp_path):
    root = tmp_path / "downloads" / "generated" / layout
    assert generate(root, "--layout", layout, "--num_subjects", "1", "--clips", "2", "--fps", "60") == 0
    builder = get_builder_class(layout)(data_dir=tmp_path / "downloads", config_name=label_set, cache_dir=tmp_path)
    assert builder.is_rendered
    assert builder.rendered_roots == {layout: root}


def test_the_raw_package_of_casme2_holds_the_quiet_time(tmp_path):
    words = ["--layout", "casme2", "--num_subjects", "1", "--clips", "1", "--neutral_s", "0.2", "--fps", "60"]
    assert generate(tmp_path / "tree", *words) == 0
    (row,) = load_corpus("casme2", data_dir=tmp_path / "tree", label_set="7class", cache_dir=tmp_path)
    recorded = list((tmp_path / "tree/CASME2_RAW/CASME2-RAW/sub01").rglob("img*.jpg"))
    assert len(recorded) > len(row["frames"])
    assert row["frame_numbers"][0] > 1


@pytest.mark.parametrize(
    "words",
    [
        ("--layout", "casme2", "--events_per_recording", "2"),
        ("--layout", "casme2", "--num_subjects", "100", "--clips", "100"),
        ("--layout", "samm", "--neutral_s", "1"),
        ("--layout", "samm", "--events_per_recording", "3"),
        ("--duration_s", "0.4", "0.2"),
    ],
)
def test_what_a_layout_cannot_hold_is_refused_before_anything_is_written(words, tmp_path, capsys):
    assert generate(tmp_path / "tree", *words) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "tree").exists()


def test_recordings_with_several_events_give_a_clip_each(tmp_path):
    words = ["--num_subjects", "1", "--clips", "3", "--events_per_recording", "3", "--neutral_s", "0.2", "--fps", "60"]
    assert generate(tmp_path / "tree", *words) == 0
    rows = load_corpus("synthetic", data_dir=tmp_path / "tree", cache_dir=tmp_path)
    assert set(rows["recording"]) == {"s001/r001"}
    recorded = {path.as_posix() for path in (tmp_path / "tree/recordings/s001/r001").iterdir()}
    clips = [set(row["frames"]) for row in rows]
    assert all(clip < recorded for clip in clips)
    assert not clips[0] & clips[1]


@pytest.mark.parametrize(
    ("combination", "expected"),
    [("6+12", 1), ("L12", 1), ("1+2", 2), ("4+7", 3), ("4+9", 4), ("15+17", 5), ("20", 6), ("12+17", 7)],
)
def test_objective_classes_are_those_of_the_published_list(combination, expected):
    assert objective_class(combination) == expected


def test_only_this_corpus_may_be_published():
    assert Synthetic.faces_may_be_published is True
