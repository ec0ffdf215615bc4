"""What stands in the pictures of a report: which numbers, at which place, under which name."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from evaluation_fdp import figures


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Calls a drawing function; returns its file name, the size in inches and the axes of the picture."""
    kept = []

    def keep(path, size, draw):
        figure = Figure(figsize=size)
        draw(figure)
        kept.append((path.name, size, figure.axes))

    monkeypatch.setattr(figures, "_save", keep)

    def call(function, *arguments):
        function(tmp_path / "picture.png", *arguments)
        return kept.pop()

    return call


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def lines(axes):
    """Points of each line, rounded."""
    return [[tuple(np.round(point, 6).tolist()) for point in line.get_xydata()] for line in axes.lines]


def test_the_truth_runs_down_and_predictions_run_across(drawn):
    name, size, (axes, bar) = drawn(figures.draw_confusion_matrix, [[3, 1], [0, 0]], ["no", "yes"], "the title")
    assert name == "picture.png" and size == pytest.approx((4.9, 3.7))
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("prediction", "truth", "the title")
    assert ticks(axes.xaxis) == ticks(axes.yaxis) == ["no", "yes"]
    cells = {text.get_position(): (text.get_text(), text.get_color()) for text in axes.texts}
    assert cells == {(0, 0): ("3", "white"), (1, 0): ("1", "black"), (0, 1): ("0", "black"), (1, 1): ("0", "black")}
    assert {(text.get_ha(), text.get_va()) for text in axes.texts} == {("center", "center")}
    (image,) = axes.images
    assert image.get_array().tolist() == [[0.75, 0.25], [0.0, 0.0]] and image.get_clim() == (0, 1)
    assert image.get_cmap().name == "Blues" and bar.get_ylabel() == "share of the true class"
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {45}


def test_half_of_a_class_is_still_written_in_black(drawn):
    _, _, (axes, _) = drawn(figures.draw_confusion_matrix, [[1, 1], [2, 1]], ["no", "yes"], "")
    colours = {text.get_position(): text.get_color() for text in axes.texts}
    assert colours == {(0, 0): "black", (1, 0): "black", (0, 1): "white", (1, 1): "black"}


def test_subjects_are_sorted_by_their_share_and_then_by_name(drawn):
    correct = {"s3": (1, 2), "s1": (0, 3), "s2": (2, 4), "s4": (4, 4)}
    _, size, (axes,) = drawn(figures.draw_subject_accuracy, correct)
    assert size == (5.0, 3.6) and ticks(axes.xaxis) == ["s4", "s2", "s3", "s1"]
    assert [bar.get_x() + bar.get_width() / 2 for bar in axes.patches] == pytest.approx([0, 1, 2, 3])
    assert [bar.get_height() for bar in axes.patches] == [1.0, 0.5, 0.5, 0.0]
    assert [(*text.get_position(), text.get_text()) for text in axes.texts] == [
        (0, 1.01, "4"), (1, 0.51, "4"), (2, 0.51, "2"), (3, 0.01, "3")
    ]  # fmt: skip
    assert {text.get_ha() for text in axes.texts} == {"center"}
    assert axes.get_ylim() == (0, 1.08) and axes.get_ylabel() == "accuracy"
    assert axes.get_title() == "Held-out subjects (numbers: clips)"
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {90}
    # Small, because a corpus has dozens of subjects.
    assert {text.get_size() for text in (*axes.get_xticklabels(), *axes.texts)} == {7}
    assert drawn(figures.draw_subject_accuracy, {f"s{n}": (1, 1) for n in range(50)})[1] == pytest.approx((14, 3.6))


def test_each_fold_has_a_line_and_their_mean_ends_with_the_shortest(drawn):
    curves = {
        "a": {"loss": [4.0, 2.0, 1.0], "dynamic_image": [0.0, 1.0, 1.0], "learning_rate": [1.0, 1.0, 1.0]},
        "b": {"loss": [2.0, 1.0], "dynamic_image": [1.0, 3.0], "learning_rate": [1.0, 1.0]},
    }
    _, size, (loss, part) = drawn(figures.draw_training_curves, curves)
    assert size == (6.8, 3.0)
    assert lines(loss) == [[(1, 4), (2, 2), (3, 1)], [(1, 2), (2, 1)], [(1, 3), (2, 1.5)]]
    assert lines(part)[-1] == [(1, 0.5), (2, 2)]
    assert (loss.get_title(), loss.get_xlabel(), loss.get_yscale()) == ("loss", "step", "log")
    # A logarithm has no place for 0.
    assert (part.get_title(), part.get_xlabel(), part.get_yscale()) == ("dynamic image", "step", "linear")
    *folds, mean = loss.lines
    assert {line.get_alpha() for line in folds} == {figures.CURVE_ALPHA} and mean.get_alpha() is None
    assert mean.get_linewidth() > folds[0].get_linewidth()
    assert to_hex(mean.get_color()) != to_hex(folds[0].get_color()) == to_hex(folds[1].get_color())


def test_a_part_that_one_fold_lacks_is_drawn_for_the_other(drawn):
    _, _, (loss, part) = drawn(
        figures.draw_training_curves, {"a": {"loss": [1.0], "rank": [2.0]}, "b": {"loss": [3.0]}}
    )
    assert lines(loss)[-1] == [(1, 2)] and lines(part) == [[(1, 2)], [], []] and part.get_yscale() == "log"


def test_a_training_without_steps_has_one_empty_panel(drawn):
    _, size, (axes,) = drawn(figures.draw_training_curves, {"judged as it is": {}})
    assert size == (3.4, 3.0) and axes.get_title() == "loss" and lines(axes) == [[], []]


def test_clips_have_a_row_each_and_pictures_stand_before_curves(drawn):
    clip = {
        "clip_ids": np.array("s1/x"),
        "labels": np.array("no"),
        "predictions": np.array("yes"),
        "image target": np.full((16, 16), 0.5),
        "curve rank_scores": np.arange(4.0),
    }
    other = {**clip, "clip_ids": np.array("s2/y"), "image dynamic_image": np.ones((16, 16))}
    _, size, axes = drawn(figures.draw_clips, [clip, other])
    assert size == pytest.approx((7.2, 4.4)) and len(axes) == 6
    target, missing, curve, second_target, image, _ = axes
    assert target.get_title() == "s1/x\nno, predicted yes" and second_target.get_title() == "s2/y\nno, predicted yes"
    assert [panel.get_xlabel() for panel in (target, missing, image)] == ["target", "dynamic image", "dynamic image"]
    assert curve.get_ylabel() == "rank scores" and lines(curve) == [[(1, 0), (2, 1), (3, 2), (4, 3)]]
    assert curve.lines[0].get_marker() == "o"
    assert not missing.images and image.images[0].get_array().tolist() == [[1.0] * 16] * 16
    assert image.images[0].get_clim() == (0, 1) and image.images[0].get_cmap().name == "gray"
    assert len(image.get_xticks()) == len(image.get_yticks()) == len(missing.get_xticks()) == 0


def test_the_first_clip_of_every_fold_comes_before_the_second_of_any(tmp_path):
    np.savez(tmp_path / "b.npz", clip_ids=["b1", "b2", "b3"], labels=[1, 2, 3])
    np.savez(tmp_path / "a.npz", clip_ids=["a1"], labels=[0])
    (tmp_path / "notes.txt").write_text("not a fold")
    clips = figures.read_samples(tmp_path, 3)
    assert [(str(clip["clip_ids"]), int(clip["labels"])) for clip in clips] == [("a1", 0), ("b1", 1), ("b2", 2)]
    assert len(figures.read_samples(tmp_path, 9)) == 4
