"""`python -m training_fdp.data`: prepare the clips of a corpus; optionally write a contact sheet and landmarks."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.options import option, require
from training_fdp.cli import option_parser, read_pairs, run_main, say
from training_fdp.data.aligned_clips import AlignedClips, prepare_clips
from training_fdp.data.options import DataOptions

SHEET_CLIPS = 24
SHEET_MARGIN = 4


@dataclass
class PreparationOptions:
    """Options of this command; those of the clips are train.py's."""

    image_size: int = option(64, "Height and width of the crops in pixels.")
    contact_sheet: str | None = option(None, "PNG of the crops, for corpora that permit showing faces.")
    landmarks_file: str | None = option(None, "Parquet file for the landmarks that were found.")

    def __post_init__(self) -> None:
        """Check every value."""
        require(self, "image_size", self.image_size >= 1, "a whole number from 1 on")
        is_picture = self.contact_sheet is None or self.contact_sheet.lower().endswith(".png")
        require(self, "contact_sheet", is_picture, "a .png file")


def contact_sheet(clips: AlignedClips, max_clips: int = SHEET_CLIPS) -> Image.Image:
    """Draw first, apex (or middle) and last crop of some clips, evenly spread over the dataset.

    Args:
        clips (`AlignedClips`): Prepared clips of a corpus that permits showing faces.
        max_clips (`int`, *optional*, defaults to 24): Rows of the sheet at most.

    Returns:
        `PIL.Image.Image`: One row per clip, with its name.
    """
    rows = np.unique(np.rint(np.linspace(0, len(clips) - 1, min(max_clips, len(clips)))).astype(int))
    shown = [clips[int(row)] for row in rows]
    height, width = shown[0].frames.shape[1:]
    text_width = 8 * max(len(clip.clip_id) for clip in shown)
    row_height = max(height, 12) + SHEET_MARGIN
    sheet = Image.new("L", (3 * (width + SHEET_MARGIN) + text_width, row_height * len(rows)), 255)
    draw = ImageDraw.Draw(sheet)
    for position, clip in enumerate(shown):
        frames = clip.frames.numpy()
        apex = len(frames) // 2 if clip.apex is None else clip.apex
        for column, index in enumerate((0, apex, len(frames) - 1)):
            sheet.paste(Image.fromarray(frames[index]), (column * (width + SHEET_MARGIN), position * row_height))
        draw.text((3 * (width + SHEET_MARGIN), position * row_height), clip.clip_id, fill=0)
    return sheet


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the clips of the corpora and print their folder.

    Args:
        arguments (`Sequence[str]`, *optional*): Command line; that of the process by default.

    Returns:
        `int`: Exit code.

    Raises:
        ConfigError: If an option is unknown or a corpus does not permit a contact sheet.
    """
    parser = option_parser(
        (DataOptions, PreparationOptions),
        prog="python -m training_fdp.data",
        description="Read, align and resize every clip of a corpus into the cache that training reads.",
    )
    data, options = parser.parse_args_into_dataclasses(sys.argv[1:] if arguments is None else list(arguments))
    if not data.corpus:
        raise ConfigError("--corpus is missing; name one, for example --corpus synthetic")
    # Slow imports come after the command line has been checked.
    from training_fdp.data.corpora import clip_cache_folder, load_corpora
    from training_fdp.data.processor import build_processor

    processor = build_processor(read_pairs("processor_overrides", data.processor_overrides), None, options.image_size)
    corpora = load_corpora(data)
    if options.contact_sheet is not None and not corpora.faces_may_be_published:
        raise ConfigError(
            f"a contact sheet shows faces, which the licence of {', '.join(data.corpus)} does not permit; leave "
            "--contact_sheet out"
        )
    cache = clip_cache_folder(data.cache_dir)
    clips = prepare_clips(corpora.dataset, processor, cache, num_proc=data.num_proc, keep_going=data.allow_lost_clips)
    folder = clips.paths[0].parent if len(clips) else cache
    say(f"{len(clips)} clips of {options.image_size} x {options.image_size} pixels in {folder}")
    for row, reason in clips.lost.items():
        say(f"left out {corpora.table.clip_ids[row]}: {reason}")
    landmarks_file = Path(options.landmarks_file or folder / f"landmarks-{'-'.join(data.corpus)}.parquet")
    num_clips = clips.write_landmarks(landmarks_file)
    if num_clips:
        say(f"landmarks of {num_clips} clips in {landmarks_file}; read them with alignment=precomputed")
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
