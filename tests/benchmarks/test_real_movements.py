"""How real movements are shown, and how answers are counted."""

from collections import Counter

import numpy as np

from benchmarks.real_movements import count_answers, shown_numbers
from benchmarks.windows import Seen


def test_a_movement_is_shown_in_four_ways():
    shown = shown_numbers(3, 9)
    assert {way: numbers.tolist() for way, numbers in shown.items()} == {
        "rise alone": [3, 4, 5, 6, 7, 8, 9],
        "rise backwards": [9, 8, 7, 6, 5, 4, 3],
        "there and back": [3, 4, 5, 6, 7, 8, 9, 8, 7, 6, 5, 4, 3],
        "first third, there and back": [3, 4, 5, 4, 3],
    }


def test_answers_are_counted_by_how_the_face_looks():
    def view(clips):
        # The clip's first value is the class, its second the first number of the evidence.
        (clip,) = clips
        return Seen(np.eye(2)[[clip[0]]], np.array([[float(clip[1]), 0]]))

    clips = [("happiness", {"rise alone": np.array(pair)}) for pair in ((0, 5), (0, 5), (1, 5), (1, 2))]
    found = count_answers(view, ("positive", "negative"), clips, [1.0, 0, -3.0])
    assert found == {"rise alone": {"happiness": Counter(positive=2, negative=1, still=1)}}
    found = count_answers(view, ("positive", "negative"), clips, [])
    assert found == {"rise alone": {"happiness": Counter(positive=2, negative=2)}}
