"""Which files of a folder are the frames of a clip, and in which order: the one listing for corpora and the reader.

A frame number is the run of digits that varies from name to name. Where names can be read in two ways that give
different orders (by time of day, say, or by the last number alone), the folder is refused and both ways are named.
"""

import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .frame_source_fdp import VideoReadError

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".gif", ".avif", ".apng",
)  # fmt: skip
_DIGITS = re.compile(r"(\d+)")
# Suffixes that file managers append to the name of a copy: img5(1), "img5 - Copy (2)", "img5 (copy)", "img5 2",
# img5~1.
_COPY_MARK = re.compile(
    r"(?:\s*\(\d+\)|[\s_-]*\(?(?:copy|kopie|copie|copia|cópia|副本|コピー)(?:\s*\(?\d+\)?)?\)?(?:\s*\(\d+\))?|\s\d+|~\d*)$",
    re.IGNORECASE,
)
# A corpus stores frame numbers as 32-bit integers.
_LARGEST_NUMBER = 2**31 - 1

# A name split at its runs of digits: text, digits, text, ..., text.
_Parts = tuple[str, ...]


class LeftOutFramesWarning(UserWarning):
    """A folder holds images that are no frames of its clip; the message lists them."""


class MissingFramesWarning(UserWarning):
    """The frame numbers of a folder have gaps; the message lists them."""


@dataclass(frozen=True)
class FrameListing:
    """Frames of one folder in time order.

    Args:
        names (`list[str]`): File names.
        numbers (`list[int]`): Frame number of each, rising; 1, 2, 3, ... where `by_position`.
        left_out (`list[str]`): Images that are no frames: copies of a frame, and names without a number among names
            with one.
        by_position (`bool`): Whether no single run of digits distinguishes the frames, as in names of hours, minutes
            and seconds: the order is known, but not the frame numbers of a coding sheet.
    """

    names: list[str]
    numbers: list[int]
    left_out: list[str]
    by_position: bool = False


def is_image_name(name: str) -> bool:
    """Whether a file name has the suffix of an image and is not hidden."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith(".")


def find_images(folder: str, accepts: Callable[[str], bool] = is_image_name, limit: int | None = None) -> list[str]:
    """Names of the image files in a folder, by one `os.scandir`; no file is opened or stat'ed.

    Args:
        folder (`str`): Folder.
        accepts (`Callable`, *optional*): Whether a file name is wanted; hidden files (`._img1.jpg` of macOS archives)
            and other kinds are ignored by default.
        limit (`int`, *optional*): Stop after one name more than this: to save time in folders with millions of files.

    Returns:
        `list[str]`: In the order on disk.

    Raises:
        OSError: If the folder cannot be listed.
    """
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if accepts(entry.name) and not entry.is_dir():
                names.append(entry.name)
                if limit is not None and len(names) > limit:
                    break
    return names


def order_frames(names: Sequence[str], folder: str) -> FrameListing:
    """Sort the images of a folder by time.

    Args:
        names (`Sequence[str]`): File names, in any order.
        folder (`str`): Name of the folder in errors.

    Returns:
        `FrameListing`: Frames in order, and the images left out.

    Raises:
        VideoReadError: If two names have one position, follow different patterns, or can be read in two orders.
    """
    if not names:
        return FrameListing([], [], [])
    # Sorted first, so that results and errors do not depend on the order on disk.
    parts = {name: tuple(_DIGITS.split(os.path.splitext(name)[0].casefold())) for name in sorted(names)}
    left_out = _strangers(parts, folder)
    frames = [name for name in parts if name not in left_out]
    split = [parts[name] for name in frames]
    readings = _readings(split)
    natural = readings.pop(_BY_NAME)
    order = sorted(range(len(frames)), key=natural.__getitem__)
    for first, second in itertools.pairwise(order):
        if natural[first] == natural[second]:
            shared = natural[first][-2] if len(natural[first]) > 1 else natural[first][0]
            raise VideoReadError(
                f"each frame number may appear once in a folder, but {frames[first]!r} and {frames[second]!r} of "
                f"{folder!r} share {shared}; remove one, or give the frames as a list"
            )
    single: list[Any] | None = None
    for reading, keys in readings.items():
        if len(set(keys)) < len(keys):
            # A run of digits that does not distinguish all frames is not their number.
            continue
        other = sorted(range(len(frames)), key=keys.__getitem__)
        if other != order:
            position = next(i for i, pair in enumerate(zip(order, other, strict=True)) if pair[0] != pair[1])
            raise VideoReadError(
                f"the names of frames must give one order, but in {folder!r} frame {position} is "
                f"{frames[order[position]]!r} {_BY_NAME} and {frames[other[position]]!r} {reading}; rename them, or "
                "give the frames as a list"
            )
        if isinstance(keys[0], int):
            single = keys
    numbers = None if single is None else [single[index] for index in order]
    if numbers is None or numbers[-1] > _LARGEST_NUMBER:
        return FrameListing([frames[i] for i in order], list(range(1, len(order) + 1)), left_out, by_position=True)
    return FrameListing([frames[i] for i in order], numbers, left_out)


_BY_NAME = "by all numbers of the name from left to right"


def _strangers(parts: dict[str, _Parts], folder: str) -> list[str]:
    """Images that are no frames; raises for names without any order."""
    numbered = {name: split for name, split in parts.items() if len(split) > 1}
    shapes = Counter(split[::2] for split in numbered.values())
    if not shapes:
        return []
    shape = shapes.most_common(1)[0][0]
    usual = {"".join(split) for split in numbered.values() if split[::2] == shape}
    copies = [name for name, split in parts.items() if split[::2] != shape and _original_of("".join(split)) in usual]
    plain = [name for name in parts if name not in numbered and name not in copies]
    example = next(name for name, split in numbered.items() if split[::2] == shape)
    for name in plain:
        if len(plain) >= len(numbered) - len(copies) or parts[name][0] == shape[0]:
            raise VideoReadError(
                f"the frames of a folder must all have a number, but {name!r} of {folder!r} has none and {example!r} "
                "has one; rename or remove it"
            )
    return sorted(copies + plain)


def _original_of(stem: str) -> str | None:
    """Name of the original, if a name is that of a copy."""
    mark = _COPY_MARK.search(stem)
    return None if mark is None else stem[: mark.start()]


def _readings(split: list[_Parts]) -> dict[str, list[Any]]:
    """Sort keys of every reading of the names; frames with equal keys are not distinguished by a reading."""
    readings: dict[str, list[Any]] = {
        _BY_NAME: [[int(part) if i % 2 else part for i, part in enumerate(parts)] for parts in split]
    }
    if any(len(parts) < 2 for parts in split):
        return readings
    if len({len(parts) for parts in split}) > 1:
        readings["by its last number alone"] = [int(parts[-2]) for parts in split]
        return readings
    columns = {run: [int(parts[run]) for parts in split] for run in range(1, len(split[0]), 2)}
    varying = {run: column for run, column in columns.items() if len(set(column)) > 1}
    for run in varying:
        whole = columns.get(run - 2)
        follows_point = whole is not None and all(parts[run - 1] == "." for parts in split)
        if follows_point and (run - 2 in varying or not any(whole or ())):
            # As decimals 0.7 precedes 0.75; as whole numbers 7 precedes 75 as well.
            readings["by its seconds with decimals"] = [float(f"{parts[run - 2]}.{parts[run]}") for parts in split]
    for run, column in (varying or {max(columns): columns[max(columns)]}).items():
        which = "last number alone" if run == max(columns) else f"number {(run + 1) // 2} alone"
        readings[f"by its {which}"] = column
    return readings


def list_frames(folder: str | os.PathLike[str], limit: int | None = None) -> FrameListing:
    """List the frames of a folder in time order.

    Args:
        folder (`str` or `os.PathLike`): Folder that holds one clip.
        limit (`int`, *optional*): Stop after one frame more than this.

    Returns:
        `FrameListing`: Names in order; empty for a folder without images.

    Raises:
        VideoReadError: If the names do not give one order, see `order_frames`.
        OSError: If the folder cannot be listed.
    """
    folder = os.fspath(folder)
    names = find_images(folder, limit=limit)
    if limit is not None and len(names) > limit:
        return FrameListing(names, list(range(1, len(names) + 1)), [], by_position=True)
    return order_frames(names, folder)


def describe_gaps(listing: FrameListing, folder: str) -> str:
    """List the gaps between the frame numbers of a folder, in one sentence; empty where there is none.

    A gap is a step of more than 1.75 median steps: 1 to 3 is one, every third frame has none, and in times in
    milliseconds, whose steps are rounded, 67 to 133 is one and 33 to 67 is not.

    Args:
        listing (`FrameListing`): Its frames.
        folder (`str`): Their folder.
    """
    steps = [after - before for before, after in itertools.pairwise(listing.numbers)]
    if listing.by_position or not steps:
        return ""
    usual = sorted(steps)[(len(steps) - 1) // 2]
    gaps = [
        f"{before} to {after}"
        for before, after in itertools.pairwise(listing.numbers)
        if after - before > 1.75 * usual
    ]
    if not gaps:
        return ""
    shown = ", ".join(gaps[:5]) + (", ..." if len(gaps) > 5 else "")
    return (
        f"the frame numbers of {folder!r} have {'a gap' if len(gaps) == 1 else f'{len(gaps)} gaps'} ({shown}), but "
        "frames are taken as evenly spaced in time; add what is missing, or give the times of the frames"
    )


def describe_left_out(names: Sequence[str], folder: str) -> str:
    """List the images of a folder that are no frames, in one sentence.

    Args:
        names (`Sequence[str]`): See `FrameListing.left_out`.
        folder (`str`): Their folder.
    """
    shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
    return f"{len(names)} images of {folder!r} are no frames of its clip and were left out: {shown}"
