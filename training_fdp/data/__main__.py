"""`python -m training_fdp.data`: prepare the clips of a corpus, look at the crops, keep the landmarks."""

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from PIL import Image, ImageDraw

from training_fdp.cli import run_main, say
from training_fdp.data.aligned_clips import AlignedClips, prepare_clips
from training_fdp.errors import ConfigError

# Settings of the processor that decide the crops, as they are on the command line.
_TEXT_SETTINGS = (
    "alignment", "alignment_mode", "missing_face", "registration", "landmark_model_path", "landmarks_path",
    "video_backend",
)  # fmt: skip
_NUMBER_SETTINGS = {"crop_scale": float, "landmark_frames": int, "min_face_score": float}
_SWITCH_SETTINGS = ("allow_truncated", "fast_jpeg")
SHEET_CLIPS = 24
SHEET_MARGIN = 4


class _Parser(argparse.ArgumentParser):
    """Complaints are errors that the command line prints in one sentence."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; {self.prog} --help lists the options")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m training_fdp.data",
        description="Read, align and resize every clip of a corpus into the cache that training reads.",
        allow_abbrev=False,
    )
    parser.add_argument("--corpus", required=True, help="Name of the corpus (synthetic, casme2, ...).")
    parser.add_argument("--data_dir", help="Folder of the corpus; synthetic needs none.")
    parser.add_argument("--label_set", help="Label set of the corpus; its default otherwise.")
    parser.add_argument("--cache_dir", help="Where aligned clips are kept; default: the datasets cache.")
    parser.add_argument("--num_proc", type=int, help="Processes; default: the machine's cores.")
    parser.add_argument("--image_size", type=int, default=64, help="Height and width of the crops in pixels.")
    parser.add_argument("--face", help="largest, or a number counted from the left, from 0.")
    for name in _TEXT_SETTINGS:
        parser.add_argument(f"--{name}", help=f"The video processor's {name}.")
    for name, kind in _NUMBER_SETTINGS.items():
        parser.add_argument(f"--{name}", type=kind, help=f"The video processor's {name}.")
    for name in _SWITCH_SETTINGS:
        parser.add_argument(f"--{name}", action="store_true", default=None, help=f"The video processor's {name}.")
    parser.add_argument("--contact_sheet", help="PNG of the crops, for corpora that permit showing faces.")
    parser.add_argument("--landmarks_file", help="Parquet file for the landmarks that were found.")
    return parser


def processor_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of the processor that a command line gave.

    Args:
        options (`argparse.Namespace`): Parsed arguments.

    Returns:
        `dict`: Keywords of `FDPVideoProcessor`.
    """
    names = (*_TEXT_SETTINGS, *_NUMBER_SETTINGS, *_SWITCH_SETTINGS, "face")
    settings = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if settings.get("face", "").isdigit():
        settings["face"] = int(settings["face"])
    return {**settings, "size": {"height": options.image_size, "width": options.image_size}}


def contact_sheet(clips: AlignedClips, max_clips: int = SHEET_CLIPS) -> Image.Image:
    """Draw first, apex (or middle) and last crop of some clips, evenly spread over the dataset.

    Args:
        clips (`AlignedClips`): Prepared clips of a corpus that permits showing faces.
        max_clips (`int`, *optional*, defaults to 24): Rows of the sheet at most.

    Returns:
        `PIL.Image.Image`: One row per clip, with its name.
    """
    rows = np.unique(np.rint(np.linspace(0, len(clips) - 1, min(max_clips, len(clips)))).astype(int))
    height, width = clips[0]["frames"].shape[1:]
    text_width = 8 * max(len(clip_id) for clip_id in clips.clip_ids)
    row_height = max(height, 12) + SHEET_MARGIN
    sheet = Image.new("L", (3 * (width + SHEET_MARGIN) + text_width, row_height * len(rows)), 255)
    draw = ImageDraw.Draw(sheet)
    for place, row in enumerate(rows):
        clip = clips[int(row)]
        frames = clip["frames"].numpy()
        apex = clip["apex_index"] if clip["apex_index"] >= 0 else len(frames) // 2
        for column, index in enumerate((0, apex, len(frames) - 1)):
            sheet.paste(Image.fromarray(frames[index]), (column * (width + SHEET_MARGIN), place * row_height))
        draw.text((3 * (width + SHEET_MARGIN), place * row_height), clip["clip_id"], fill=0)
    return sheet


def main(arguments: list[str] | None = None) -> int:
    """Prepare the clips of a corpus and say where they are.

    Args:
        arguments (`list[str]`, *optional*): Command line; that of the process by default.

    Returns:
        `int`: Exit code.

    Raises:
        ConfigError: If an option is unknown or the corpus does not permit a contact sheet.
    """
    options = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    # Heavy imports wait until the command line is known to be right.
    from hub_datasets import get_builder_class, load_corpus
    from processing_fdp.video_processing_fdp import FDPVideoProcessor
    from training_fdp.data.corpora import clip_cache_folder

    if options.contact_sheet is not None:
        if not get_builder_class(options.corpus).faces_may_be_published:
            raise ConfigError(
                f"a contact sheet shows faces, which the licence of '{options.corpus}' does not permit; "
                "leave --contact_sheet out"
            )
        if not options.contact_sheet.lower().endswith(".png"):
            raise ConfigError(f"--contact_sheet must be a .png file, got '{options.contact_sheet}'; rename it")
    try:
        processor = FDPVideoProcessor(**processor_settings(options))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    dataset = load_corpus(options.corpus, data_dir=options.data_dir, label_set=options.label_set)
    cache = clip_cache_folder(options.cache_dir)
    clips = prepare_clips(dataset, processor, cache, num_proc=options.num_proc)
    folder = clips.paths[0].parent if len(clips) else cache
    say(f"{len(clips)} clips of {options.image_size} x {options.image_size} pixels in {folder}")
    landmarks_file = Path(options.landmarks_file or folder / f"landmarks-{options.corpus}.parquet")
    found = clips.write_landmarks(landmarks_file)
    if found:
        say(f"landmarks of {found} clips in {landmarks_file}; read them with --alignment precomputed")
    elif options.landmarks_file is not None:
        raise ConfigError(
            f"--landmarks_file needs landmarks, but alignment '{processor.alignment}' finds none; choose another"
        )
    if options.contact_sheet is not None:
        contact_sheet(clips).save(options.contact_sheet)
        say(f"contact sheet in {options.contact_sheet}")
    return 0


if __name__ == "__main__":
    run_main(main)
