"""`python -m spotting_fdp.protocol`: score the spotter on the long videos of a corpus, subject by subject.

Every annotated recording is spotted once, with the lowest measured threshold. Its intervals are scored twice: above
one threshold for all subjects, which was not chosen on the corpus, and above a threshold for each subject that
maximises F1 on all other subjects (leave one subject out). Recordings in which the sheet has no expression are not in
the rows of a corpus, and so not among those that are scored.

Example:
    python -m spotting_fdp.protocol --corpus samm_long --data_dir SAMM_LV --output_dir found --spot_only
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from evaluation_fdp.atomic_files import read_json, write_json
from evaluation_fdp.errors import ConfigError
from evaluation_fdp.spotting import KINDS, Expression, SpottingCounts, SpottingFigures, spotting_metrics
from hub_datasets import load_corpus
from hub_datasets.errors import CorpusError
from hub_datasets.features import ClipRow
from hub_datasets.scanning.folders import list_frames
from spotting_fdp.face_stream import CropSettings
from spotting_fdp.recognition import COARSE, CheckpointRecognizer, coarse_class
from spotting_fdp.spotter import Recognizer, Spotter
from training_fdp.cli import read_pairs, run_main, say

# Candidates of `thresholds_of_others`; recordings are spotted with the least of them.
NUM_THRESHOLDS = 35
COARSE_CLASSES = tuple(dict.fromkeys(COARSE.values()))
FIGURES_NAME = "figures.json"


@dataclass(frozen=True)
class LongRecording:
    """A long recording with its annotated expressions.

    Args:
        name (`str`): Name.
        subject (`str`): The person who is seen.
        source (`str` or `list[str]`): A video file, or the paths of its frames in time order.
        fps (`float`): Frames per second.
        num_frames (`int`, *optional*): Number of its frames, where it is known without reading the recording.
        annotated (`list[Expression]`): Annotated expressions, in 0-based frames of `source`; labels are coarse
            classes.
    """

    name: str
    subject: str
    source: str | list[str]
    fps: float
    num_frames: int | None = None
    annotated: list[Expression] = field(default_factory=list)


@dataclass(frozen=True)
class SpottedRecording:
    """A recording and all intervals found in it.

    Args:
        recording (`LongRecording`): The recording.
        found (`list[tuple[Expression, float]]`): Intervals with their scores.
        minutes (`float`): Length of the recording.
    """

    recording: LongRecording
    found: list[tuple[Expression, float]]
    minutes: float

    def above(self, least: float) -> list[Expression]:
        """Intervals with at least this score."""
        return [expression for expression, score in self.found if score >= least]


@dataclass(frozen=True)
class _Reading:
    """One reading of a corpus: its label set, its options, and the kind of expressions that it gives."""

    label_set: str
    options: Mapping[str, str]
    kind: str | None = None


# Readings whose rows together are all expressions of a corpus; a label set of micro and macro gives the kind by
# itself.
READINGS: Mapping[str, tuple[_Reading, ...]] = {
    "cas_me_2": (
        _Reading("4class", {"package": "rawpic", "expressions": "micro"}, "micro"),
        _Reading("4class", {"package": "rawpic", "expressions": "macro"}, "macro"),
    ),
    "samm_long": (_Reading("type", {}),),
    "cas_me_3": (_Reading("expression_type", {"package": "videos", "sheet": "all_v2"}),),
}


def corpus_recordings(
    corpus: str,
    data_dir: str | Path,
    label_set: str | None = None,
    options: Mapping[str, Any] | None = None,
    cache_dir: str | Path | None = None,
) -> list[LongRecording]:
    """Read the long recordings of a corpus and their annotated expressions.

    Args:
        corpus (`str`): A key of `READINGS`.
        data_dir (`str` or `Path`): Root of the download.
        label_set (`str`, *optional*): Replaces the label set of the reading; expressions are then micro where it does
            not say otherwise, as in CAS(ME)^3 with the sheet of micro-expressions.
        options (`Mapping`, *optional*): Options of the corpus that replace those of the reading.
        cache_dir (`str` or `Path`, *optional*): Folder in which prepared rows are kept.

    Returns:
        `list[LongRecording]`: Recordings with an annotated expression, sorted by name.

    Raises:
        ConfigError: If the corpus has no long recordings.
        CorpusError: If it cannot be read.
    """
    if corpus not in READINGS:
        raise ConfigError(
            f"--corpus has long recordings, as {', '.join(READINGS)}, but {corpus!r} was given; choose one of these."
        )
    rows: list[tuple[ClipRow, str]] = []
    for reading in READINGS[corpus]:
        chosen = {**reading.options, **(options or {})}
        dataset = load_corpus(corpus, data_dir, label_set or reading.label_set, cache_dir=cache_dir, **chosen)
        names = dataset.features["label"].names
        for row in dataset:
            label = names[row["label"]]
            rows.append((row, label if label in KINDS else reading.kind or "micro"))
    return _grouped(rows)


def _grouped(rows: Iterable[tuple[ClipRow, str]]) -> list[LongRecording]:
    recordings: dict[str, LongRecording] = {}
    places: dict[str, dict[str, int]] = {}
    for row, kind in rows:
        name = row["recording"]
        if name not in recordings:
            source: str | list[str] = row["video"]
            if row["video"] is None:
                first = Path(row["frames"][0])
                listing = list_frames(first.parent, suffixes=(first.suffix,))
                source = [f"{first.parent}/{file}" for file in listing.names]
                places[name] = {path: index for index, path in enumerate(source)}
            count = None if isinstance(source, str) else len(source)
            recordings[name] = LongRecording(name, row["subject"], source, float(row["fps"]), count)
        if row["video"] is None:
            onset, offset = (places[name][path] for path in (row["frames"][0], row["frames"][-1]))
        else:
            onset, offset = row["frame_numbers"][0], row["frame_numbers"][-1]
        recordings[name].annotated.append(Expression(name, onset, offset, kind, coarse_class(row["emotion"])))
    return [recordings[name] for name in sorted(recordings)]


def spot_recordings(
    recordings: Sequence[LongRecording],
    output_dir: Path,
    spotter: Spotter,
    model: str | None = None,
) -> list[SpottedRecording]:
    """Spot recordings; finished ones are read from their files in `output_dir`.

    Args:
        recordings (`Sequence[LongRecording]`): Recordings.
        output_dir (`Path`): Gets one JSON file per recording.
        spotter (`Spotter`): With a low threshold, see [`lenient_spotter`].
        model (`str`, *optional*): Name of the checkpoint that names them and leaves out those without a movement; a
            finished file of another checkpoint or spotting network, or with other intervals, is an error.

    Returns:
        `list[SpottedRecording]`: In the same order.

    Raises:
        ConfigError: If `output_dir` holds results of another model.
    """
    way = "closed form" if spotter.network is None else f"network {spotter.network.digest()}"
    # Results of an earlier version hold all intervals.
    kept = "all" if spotter.recognizer is None else "those with a movement"
    made_by = {"model": model, "spotter": way, "intervals": kept}
    output_dir.mkdir(parents=True, exist_ok=True)
    answer = []
    for recording in tqdm(recordings, unit="recording", file=sys.stderr, delay=2):
        path = output_dir / f"{recording.name.replace('/', '_')}.json"
        if not path.is_file():
            result = spotter.spot(recording.source, recording.fps)
            write_json(path, {**made_by, **result.to_dict()})
        content = read_json(path)
        before = {name: content.get(name) for name in made_by}
        if before != made_by:
            raise ConfigError(
                f"an output folder holds the results of one checkpoint, but {path} is of {_listed(before)} and not of "
                f"{_listed(made_by)}; give another --output_dir."
            )
        found = []
        for one in content["expressions"]:
            label = coarse_class((one["recognition"] or {}).get("label"))
            found.append((Expression(recording.name, one["onset"], one["offset"], one["kind"], label), one["score"]))
        answer.append(SpottedRecording(recording, found, content["duration_s"] / 60))
    return answer


def lenient_spotter(
    recognizer: Recognizer | None, model: str | None, closed_form: bool, crop: CropSettings | None = None
) -> Spotter:
    """A spotter that keeps all that any threshold would; arguments as of [`Spotter`]."""
    spotter = Spotter(None, recognizer, model=model, closed_form=closed_form)
    return Spotter(spotter.rates.most, recognizer, model=model, closed_form=closed_form, crop=crop)


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in names.items())


def score_recordings(
    spotted: Sequence[SpottedRecording],
    least: float | Callable[[str], float],
    least_iou: float = 0.5,
    with_classes: bool = True,
) -> SpottingFigures:
    """Score the intervals above a threshold.

    Args:
        spotted (`Sequence[SpottedRecording]`): All recordings.
        least (`float` or `Callable[[str], float]`): Least score, or a function from a subject to the least score.
        least_iou (`float`, *optional*, defaults to 0.5): Least IoU of a match.
        with_classes (`bool`, *optional*, defaults to `True`): Whether classes are scored as well.

    Returns:
        `SpottingFigures`: Over all recordings.
    """
    found = [
        expression
        for one in spotted
        for expression in one.above(least(one.recording.subject) if callable(least) else least)
    ]
    return spotting_metrics(
        found,
        [expression for one in spotted for expression in one.recording.annotated],
        recordings=[one.recording.name for one in spotted],
        class_names=COARSE_CLASSES if with_classes else None,
        minutes=sum(one.minutes for one in spotted),
        least_iou=least_iou,
    )


def thresholds_of_others(spotted: Sequence[SpottedRecording], thresholds: Sequence[float]) -> dict[str, float]:
    """Choose a threshold for each subject: the one with the highest F1 on all other subjects.

    Args:
        spotted (`Sequence[SpottedRecording]`): Recordings of at least two subjects; F1 is that of micro- and
            macro-expressions together.
        thresholds (`Sequence[float]`): Those to choose from; of equal ones the first.

    Returns:
        `dict[str, float]`: Least score by subject.

    Raises:
        ConfigError: If there is one subject only.
    """
    counts: dict[str, list[SpottingCounts]] = {}
    by_subject: dict[str, list[SpottedRecording]] = defaultdict(list)
    for one in spotted:
        by_subject[one.recording.subject].append(one)
    if len(by_subject) < 2:
        raise ConfigError(
            f"a threshold is chosen on other subjects, but there is {len(by_subject)} subject; give two or more."
        )
    for subject, own in by_subject.items():
        counts[subject] = [score_recordings(own, least, with_classes=False).together for least in thresholds]
    chosen = {}
    for subject in by_subject:
        others = [counts[other] for other in by_subject if other != subject]
        pooled = [
            SpottingCounts(
                sum(one.true_positives for one in column),
                sum(one.false_positives for one in column),
                sum(one.false_negatives for one in column),
            ).f1
            for column in zip(*others, strict=True)
        ]
        chosen[subject] = thresholds[pooled.index(max(pooled))]
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Spot and score the long recordings of a corpus; return the exit code (`int`)."""
    parser = argparse.ArgumentParser(
        prog="python -m spotting_fdp.protocol", description="score the spotter on a corpus", allow_abbrev=False
    )
    parser.add_argument("--corpus", required=True, choices=sorted(READINGS), help="a corpus with long recordings")
    parser.add_argument("--data_dir", required=True, type=Path, help="root of its download")
    parser.add_argument("--label_set", help="label set; by default the one that covers all expressions")
    parser.add_argument("--corpus_options", nargs="+", default=[], metavar="NAME=VALUE", help="e.g. package=rawvideo")
    parser.add_argument("--output_dir", required=True, type=Path, help="results, one file per recording; resumes")
    parser.add_argument("--model", metavar="FOLDER_OR_REPO", help="checkpoint that names the expressions")
    parser.add_argument("--spot_only", action="store_true", help="name no classes")
    parser.add_argument("--false_alarms_per_minute", type=float, metavar="RATE", help="threshold for all")
    parser.add_argument("--closed_form", action="store_true", help="spot without the checkpoint's network")
    options = parser.parse_args(arguments)
    chosen = read_pairs("corpus_options", options.corpus_options)
    recordings = corpus_recordings(options.corpus, options.data_dir, options.label_set, chosen)
    if not recordings:
        raise CorpusError(f"no recording of {options.corpus} in {options.data_dir} has an annotated expression.")
    recognizer = None if options.spot_only else CheckpointRecognizer(options.model)
    model = None if recognizer is None else recognizer.name
    spotter = lenient_spotter(recognizer, options.model, options.closed_form)
    for warning in spotter.warnings:
        say(f"warning: {warning}", sys.stderr)
    fixed = spotter.rates.least_score(options.false_alarms_per_minute)
    spotted = spot_recordings(recordings, options.output_dir / "recordings", spotter, model)
    tried = np.linspace(spotter.least_score, spotter.rates.least_score(spotter.rates.fewest), NUM_THRESHOLDS).tolist()
    by_subject = thresholds_of_others(spotted, tried)
    with_classes = recognizer is not None and any(one.label for each in recordings for one in each.annotated)
    answers = {
        "one threshold": score_recordings(spotted, fixed, with_classes=with_classes),
        "leave one subject out": score_recordings(spotted, by_subject.__getitem__, with_classes=with_classes),
    }
    content = {
        "corpus": options.corpus,
        "model": model,
        "recordings": len(recordings),
        "subjects": len(by_subject),
        "threshold": fixed,
        "thresholds_of_subjects": by_subject,
        "figures": {name: figures.to_dict() for name, figures in answers.items()},
    }
    write_json(options.output_dir / FIGURES_NAME, content)
    for name, figures in answers.items():
        for kind in (*KINDS, "together"):
            counts = getattr(figures, kind)
            strs = "" if counts.strs is None else f", STRS {counts.strs:.4f}"
            say(f"{name}, {kind}: P {counts.precision:.3f}, R {counts.recall:.3f}, F1 {counts.f1:.4f}{strs}")
    say(f"written to {options.output_dir / FIGURES_NAME}")
    return 0


if __name__ == "__main__":
    run_main(main)
