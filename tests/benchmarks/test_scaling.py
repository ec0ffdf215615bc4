"""Exponents of listing are fitted to the rows in which one size changes alone."""

import pytest

from benchmarks.scaling import LISTINGS, listing_exponents


def test_exponents_of_a_power_law():
    rows = [
        {
            "clips": clips,
            "frames per clip": frames,
            "listing, processor s": clips * frames**0.5,
            "again, processor s": 0.2 * clips**0.9 * (2 if clips == 1000 else 1),  # no power law, but flat in frames
        }
        for clips, frames in LISTINGS
    ]
    against_clips, against_frames = listing_exponents(rows)
    assert (against_clips["from"], against_clips["to"]) == (250, 4000)
    assert (against_frames["from"], against_frames["to"]) == (10, 40)
    assert against_clips["exponent, listing"] == pytest.approx(1) and against_clips[
        "exponent, again"
    ] == pytest.approx(0.9)
    assert against_frames["exponent, listing"] == pytest.approx(0.5)
    assert against_frames["exponent, again"] == pytest.approx(0)
