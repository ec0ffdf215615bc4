"""The video processor of a run: how it is built, and where a run departs from it."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from evaluation_fdp.errors import ConfigError
from training_fdp.data.options import BatchOptions
from training_fdp.data.people import RENDERED

# A prediction needs this file and no corpus, whose libraries take a second to import.
if TYPE_CHECKING:
    from processing_fdp.video_processing_fdp import FDPVideoProcessor
    from training_fdp.data.corpora import Corpora

# Frames this much wider than high are whole recordings (4 to 3 and wider); crops of faces are square or upright.
RECORDING_ASPECT = 1.3
# Settings that decide what a face looks like to the network; a network answers at random for another crop.
LEARNT_SETTINGS = ("alignment_mode", "crop_scale", "even_light", "registration")


def learnt_settings(processor: "FDPVideoProcessor", asked: Mapping[str, object], name: str) -> dict[str, object]:
    """Take over the settings with which a checkpoint learnt, and refuse others.

    Args:
        processor (`FDPVideoProcessor`): The one saved with the checkpoint.
        asked (`Mapping[str, object]`): Settings by name that were asked for. How faces are found may differ, unless
            one of the two crops no face at all.
        name (`str`): Option and name of the checkpoint, for the message.

    Returns:
        `dict`: `LEARNT_SETTINGS` of the checkpoint; `alignment` as well if it learnt from frames as they are.

    Raises:
        ConfigError: a setting that was asked for differs.
    """
    learnt = {setting: getattr(processor, setting) for setting in LEARNT_SETTINGS}
    alignment = asked.get("alignment", processor.alignment)
    if processor.alignment == "none" or alignment == "none":
        learnt["alignment"] = processor.alignment
    differences = [
        f"{setting} is {value} there, {asked[setting]} was asked for"
        for setting, value in sorted(learnt.items())
        if asked.get(setting, value) != value
    ]
    if differences:
        raise ConfigError(
            f"{name} learnt from other crops than asked for ({'; '.join(differences)}), and would see other faces; "
            "leave these --processor_overrides out, or take a checkpoint that has them"
        )
    return learnt


def build_processor(overrides: Mapping[str, object], num_frames: int | None, image_size: int) -> "FDPVideoProcessor":
    """Return the video processor (`FDPVideoProcessor`) that makes the clips of a run and goes into its checkpoints.

    Args:
        overrides (`Mapping[str, object]`): Its settings by name.
        num_frames (`int`, *optional*): Frames to sample; the processor's default otherwise.
        image_size (`int`): Height and width in pixels.

    Raises:
        ConfigError: an override that the processor lacks.
    """
    from processing_fdp.video_processing_fdp import FDPVideoProcessor

    settings: dict[str, object] = {"size": {"height": image_size, "width": image_size}}
    if num_frames is not None:
        settings["num_frames"] = num_frames
    try:
        return FDPVideoProcessor(**{**settings, **overrides})
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"the video processor cannot be built with {dict(overrides)}: {reason}") from None


def check_landmark_tables(corpora: "Corpora", processor: "FDPVideoProcessor") -> None:
    """Refuse clips without the landmark table that `alignment="precomputed"` reads, by the names of files alone.

    Raises:
        ConfigError: the table of a clip, or that of `landmarks_path`, is missing.
    """
    from processing_fdp.landmark_tables_fdp import find_landmark_file

    if processor.alignment != "precomputed" or not {"frames", "video"} <= set(corpora.dataset.column_names):
        return
    given = processor.landmarks_path
    if given is not None and not os.path.isfile(given):
        raise ConfigError(
            f"alignment=precomputed reads the landmark table of landmarks_path, but there is no file {given}; give "
            "another path, or leave it out where a table lies beside every clip"
        )
    rows = () if given is not None else corpora.dataset.select_columns(["clip_id", "video", "frames"])
    lacking = [
        row["clip_id"] for row in rows if find_landmark_file(row["video"] or os.path.dirname(row["frames"][0])) is None
    ]
    if lacking:
        raise ConfigError(
            f"alignment=precomputed reads a landmark table beside every clip, but {len(lacking)} of "
            f"{len(corpora.dataset)} clips have none, first {lacking[0]}; give one for all as landmarks_path=FILE, or "
            "leave alignment=precomputed out"
        )


def uncropped_recordings(corpora: "Corpora", processor: "FDPVideoProcessor") -> list[str]:
    """Name the corpora of recorded people whose first clip has uncropped frames (`list[str]`)."""
    from processing_fdp.clip_reading_fdp import open_frames

    if processor.alignment != "none" or not {"frames", "video"} <= set(corpora.dataset.column_names):
        return []
    first_rows: dict[str, int] = {}
    for row, corpus in enumerate(corpora.table.corpora):
        first_rows.setdefault(corpus, row)
    warnings = []
    for corpus, row in first_rows.items():
        if corpora.people.get(corpus, "").startswith(RENDERED):
            continue
        clip = corpora.dataset[row]
        with open_frames(clip["video"] or clip["frames"][:1], backend=processor.video_backend) as frames:
            height, width = frames.size_hw
        if width >= RECORDING_ASPECT * height:
            warnings.append(
                f"the frames of {corpus} are whole recordings ({width} x {height} pixels) and alignment=none crops no "
                "face from them; leave alignment=auto, which finds it, or take a package of cropped faces"
            )
    return warnings


def departures_from_the_processor(options: BatchOptions) -> list[str]:
    """List where the folds' input differs from that of the saved video processor (`list[str]`)."""
    departures = {
        "normalises pixels with the statistics in fold.json": options.normalization != "fixed",
        f"takes frames by the rule {options.frame_sampling}": options.frame_sampling != "linspace",
    }
    return [
        f"this run {what}, which the video processor saved with its checkpoints does not"
        for what, applies in departures.items()
        if applies
    ]
