"""Wild corpora, timings, macro-expressions and quiet recordings on disk."""

import argparse
import csv

import numpy as np
import pytest

from hub_datasets import load_corpus
from hub_datasets.errors import CorpusOptionError
from hub_datasets.synthetic.generate import add_generate_arguments, settings_from_arguments
from hub_datasets.synthetic.layouts import LAYOUTS
from hub_datasets.synthetic.settings import CorpusSettings
from hub_datasets.synthetic.tree import write_tree
from rendered_faces.variations import ALL, NONE, VARIATION_NAMES, Variations
from rendered_faces.wild import FRAME_RATES

SMALL = {"num_subjects": 2, "num_clips": 2, "seed": 4, "size_hw": (32, 32), "duration_s": (0.1, 0.2)}


def asked(*words):
    parser = argparse.ArgumentParser()
    add_generate_arguments(parser)
    return settings_from_arguments(parser.parse_args(["--output_dir", "x", *words]))


def test_the_command_throws_switches():
    assert asked("--difficulty", "medium").switches == NONE
    assert asked("--difficulty", "wild").switches == ALL
    assert asked("--difficulty", "wild", "--without", "speech").switches == ALL.without("speech")
    assert asked("--variations", "hair", "blur").switches == Variations.only(["hair", "blur"])
    assert not asked("--layout", "casme2", "--difficulty", "wild").switches.frame_rate
    with pytest.raises(CorpusOptionError, match="sunglasses"):
        asked("--variations", "sunglasses")


def test_the_command_passes_timings_on():
    settings = asked(
        "--timing",
        "mixed",
        "--durations",
        "samm",
        "--macro_events",
        "2",
        "--quiet_recordings",
        "1",
        "--neutral_s",
        "2",
    )
    assert (settings.timing, settings.durations) == ("mixed", "samm")
    assert (settings.macro_events, settings.quiet_recordings) == (2, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timing": "sudden"}, "timing is one of pulse"),
        ({"durations": "smic"}, "durations is one of None, casme2, samm"),
        ({"macro_events": 1}, "macro-expressions need quiet time"),
        ({"quiet_recordings": -1}, "quiet_recordings must be 0"),
    ],
)
def test_settings_out_of_range_are_named(options, message):
    with pytest.raises(CorpusOptionError, match=message):
        CorpusSettings(**options)


@pytest.mark.parametrize(
    "options",
    [{"macro_events": 1, "neutral_s": 1.0}, {"quiet_recordings": 1}, {"variations": Variations.only(["frame_rate"])}],
)
def test_sheets_of_licensed_corpora_have_no_place_for_some(options, tmp_path):
    with pytest.raises(CorpusOptionError, match="no place for"):
        write_tree(CorpusSettings(**(SMALL | options)), LAYOUTS["casme2"](), tmp_path / "tree")


def test_every_switch_gives_another_digest():
    digests = {CorpusSettings(variations=Variations.only([name])).digest() for name in VARIATION_NAMES}
    assert len(digests | {CorpusSettings().digest()}) == len(VARIATION_NAMES) + 1
    assert CorpusSettings(variations=NONE).digest() == CorpusSettings().digest()


def test_a_wild_corpus_with_macro_expressions_and_quiet_recordings(tmp_path):
    settings = CorpusSettings(
        **SMALL, difficulty="wild", neutral_s=0.2, macro_events=1, quiet_recordings=1, timing="mixed"
    )
    write_tree(settings, LAYOUTS["synthetic"](), tmp_path / "tree")
    rows = load_corpus("synthetic", data_dir=tmp_path / "tree", cache_dir=tmp_path / "cache")
    assert len(rows) == 2, "neither macro-expressions nor quiet recordings are clips"
    assert {row["fps"] for row in rows} <= set(FRAME_RATES)
    with (tmp_path / "tree" / "macro.csv").open(encoding="utf-8") as stream:
        macros = list(csv.DictReader(stream))
    assert [row["Recording"] for row in macros] == ["r001", "r001"]
    quiet = tmp_path / "tree" / "recordings" / "s001" / "r002"
    assert len(list(quiet.glob("*.jpg"))) >= 3
    with np.load(tmp_path / "tree" / "ground_truth" / "s001_r002.npz") as arrays:
        assert arrays["event_frames"].shape == (0, 3)
    for row in macros:
        with np.load(tmp_path / "tree" / "ground_truth" / f"{row['Subject']}_r001.npz") as arrays:
            assert (arrays["macro_frames"] + 1).tolist() == [[int(row[key]) for key in ("Onset", "Apex", "Offset")]]
