"""Finding folders and frames in a download of unknown nesting, letter case and zero padding."""

import logging
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from datasets.utils import tqdm

from hub_datasets.records import Package
from hub_datasets.scanning.cells import name_key
from processing_fdp.frame_listing_fdp import IMAGE_SUFFIXES, find_images, order_frames
from processing_fdp.video_probe_fdp import VIDEO_SUFFIXES

logger = logging.getLogger(__name__)

ARCHIVE_SUFFIXES = (".zip", ".rar", ".7z", ".tar", ".gz", ".tgz")
# More threads than cores, because listing waits for a disk or a network share (our choice).
LISTING_THREADS = min(32, 4 * (os.cpu_count() or 1))
# Largest depth of a package below the root (CAS(ME)^3 part_A/data/part_A_split/part_A, with one level to spare).
MAX_DEPTH = 6
# More than any corpus has above the clip level; bounds a data_dir that is a whole file system (our choice).
MAX_FOLDERS = 20_000
_LARGEST_BATCH = 64

Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(
    function: Callable[[Item], Result], items: Iterable[Item], description: str, unit: str = "folder"
) -> list[Result]:
    """Apply an I/O-bound function to items in threads, in order, with a progress bar."""
    work = list(items)
    # In batches, because submitting a small folder costs as much as listing it.
    size = min(_LARGEST_BATCH, max(1, len(work) // (4 * LISTING_THREADS)))
    batches = [work[start : start + size] for start in range(0, len(work), size)]
    results: list[Result] = []
    with (
        ThreadPoolExecutor(max_workers=LISTING_THREADS) as pool,
        tqdm(total=len(work), desc=description, unit=unit, leave=False) as progress,
    ):
        for batch in pool.map(lambda batch: [function(item) for item in batch], batches):
            results += batch
            progress.update(len(batch))
    return results


@dataclass(frozen=True)
class FrameListing:
    """Frames of one folder in time order.

    Attributes:
        folder (`Path`): The folder.
        numbers (`list[int]`): Frame numbers, strictly increasing.
        names (`list[str]`): File names, parallel to `numbers`.
        left_out (`tuple[str, ...]`): Images that are no frames of the folder, e.g. copies of a frame and a cover.
        by_position (`bool`): Whether `numbers` only count the names in their order, because no run of digits in them
            is a frame number.
    """

    folder: Path
    numbers: list[int]
    names: list[str]
    left_out: tuple[str, ...] = ()
    by_position: bool = False


def list_frames(folder: Path, stem_pattern: str = "", suffixes: tuple[str, ...] = ()) -> FrameListing:
    """List the frames of a folder, as the clip reader does, with a single `os.scandir`; no file is opened.

    Args:
        folder (`Path`): Folder of one recording or clip.
        stem_pattern (`str`, *optional*, defaults to `""`): Expression that file stems must match in full.
        suffixes (`tuple[str, ...]`, *optional*): Accepted suffixes, lower case; all image types when empty.

    Returns:
        `FrameListing`: sorted by number; hidden files ('._img1.jpg' of macOS archives) and other files are
        skipped.

    Raises:
        `OSError`: the folder cannot be listed.
        `VideoReadError`: two names have one frame number, or the names can be ordered in two ways.
    """
    accepted = suffixes or IMAGE_SUFFIXES
    stem_matches = re.compile(stem_pattern, re.IGNORECASE).fullmatch if stem_pattern else None

    def accepts(name: str) -> bool:
        stem, suffix = os.path.splitext(name)
        return (
            suffix.lower() in accepted
            and not name.startswith(".")
            and (stem_matches is None or stem_matches(stem) is not None)
        )

    names = find_images(str(folder), accepts)
    listing = order_frames([name for name in names if is_text(name)], str(folder))
    # A name that is not valid UTF-8 cannot be written into a row.
    left_out = (*listing.left_out, *(ascii(name) for name in sorted(names) if not is_text(name)))
    return FrameListing(folder, listing.numbers, listing.names, left_out, listing.by_position)


@dataclass(frozen=True)
class FolderContent:
    """One level of a folder: its sub-folders and its files, by [`name_key`].

    Images are counted and not kept: a video of an hour is 100,000 of them, and [`list_frames`] reads those of a clip.
    `twins` holds, by exact name, the sub-folders whose key is that of another one in `folders`.
    """

    folders: dict[str, Path]
    files: dict[str, Path]
    num_images: int = 0
    twins: dict[str, Path] = field(default_factory=dict)

    def folder(self, name: str) -> Path | None:
        """Sub-folder of that name, else of a name that differs in letter case or normal form alone."""
        return self.twins.get(name) or self.folders.get(name_key(name))


class FolderTree:
    """View of a download that ignores letter case and normal form and lists every folder at most once.

    Args:
        root (`Path`): Absolute folder of the download.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._content: dict[Path, FolderContent] = {}
        self._walked: dict[tuple[str, int], list[Path]] = {}
        self._names: dict[Path, dict[str, list[Path]]] = {}

    def content(self, folder: Path) -> FolderContent:
        """Sub-folders and files of a folder; a folder that cannot be listed counts as empty and is logged."""
        if folder not in self._content:
            kept: list[tuple[str, bool]] = []
            num_images = 0
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name.startswith(".") or not is_text(entry.name):
                            continue
                        if (is_folder := _is_folder(entry)) or not _is_image(entry.name):
                            kept.append((entry.name, is_folder))
                        else:
                            num_images += 1
            except OSError as error:
                logger.warning("cannot list %s: %s", folder, error)
                kept, num_images = [], 0
            folders: dict[str, Path] = {}
            files: dict[str, Path] = {}
            twins: dict[str, Path] = {}
            for name, is_folder in sorted(kept):
                first = (folders if is_folder else files).setdefault(name_key(name), folder / name)
                if is_folder and first.name != name:
                    twins[name] = folder / name
            self._content[folder] = FolderContent(folders, files, num_images, twins)
        return self._content[folder]

    def find_folder(self, start: Path, parts: Iterable[str | tuple[str, ...]]) -> Path | None:
        """Find the folder at `parts` below `start`, each part in any of its spellings and in any letter case."""
        folder = start
        for part in parts:
            content = self.content(folder)
            spellings = (part,) if isinstance(part, str) else part
            child = next((match for name in spellings if (match := content.folder(name)) is not None), None)
            if child is None:
                return None
            folder = child
        return folder

    def find_video(self, start: Path, parts: tuple[str | tuple[str, ...], ...]) -> Path | None:
        """Find a video file whose stem is the last part, below the folders that the other parts name."""
        folder = self.find_folder(start, parts[:-1])
        if folder is None:
            return None
        files = self.content(folder).files
        stems = (parts[-1],) if isinstance(parts[-1], str) else parts[-1]
        return next(
            (
                files[name_key(stem + suffix)]
                for stem in stems
                for suffix in VIDEO_SUFFIXES
                if name_key(stem + suffix) in files
            ),
            None,
        )

    def find_entries(self, start: Path, parts: Iterable[str]) -> list[Path]:
        """Folders and files, images included, whose path is `parts` but for letter case and normal form."""
        entries = [start]
        for part in parts:
            entries = [child for folder in entries for child in self._children(folder).get(name_key(part), ())]
        return entries

    def _children(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._names:
            self._names[folder] = {}
            with suppress(OSError), os.scandir(folder) as entries:  # a file, or a folder that cannot be listed
                for name in sorted(entry.name for entry in entries if is_text(entry.name)):
                    self._names[folder].setdefault(name_key(name), []).append(folder / name)
        return self._names[folder]

    def walk(self, stop_pattern: str = "", max_depth: int = MAX_DEPTH) -> list[Path]:
        """List the folders breadth first, root included, without entering those whose name matches.

        Args:
            stop_pattern (`str`, *optional*, defaults to `""`): Expression for folders that are not entered, e.g. the
                subject folders, which hold thousands of clips.
            max_depth (`int`, *optional*, defaults to 6): Levels below the root.

        Returns:
            `list[Path]`: folders. Symbolic links are followed once: a link back to a folder above ends there.
        """
        key = (stop_pattern, max_depth)
        if key not in self._walked:
            self._walked[key] = list(self._walk(*key))
        return self._walked[key]

    def _walk(self, stop_pattern: str, max_depth: int) -> Iterator[Path]:
        stop = re.compile(stop_pattern, re.IGNORECASE).fullmatch if stop_pattern else None
        queue = deque([(self.root, 0)])
        visited = {os.path.realpath(self.root)}
        while queue:
            folder, depth = queue.popleft()
            yield folder
            if depth == max_depth:
                continue
            for child in self.content(folder).folders.values():
                real = _real_path(child)
                if real is None or real in visited or (stop is not None and stop(child.name)):
                    continue
                if len(visited) >= MAX_FOLDERS:
                    return
                visited.add(real)
                queue.append((child, depth + 1))

    def package_folders(self, package: Package, with_root_name: bool = False) -> list[Path]:
        """Folders whose path and children match a package, nearest to the root first.

        Args:
            package (`Package`): What to look for.
            with_root_name (`bool`, *optional*, defaults to `False`): Whether the path includes the root's own name,
                for a data_dir that points into the download.

        Returns:
            `list[Path]`: the folders.
        """
        path_matches = re.compile(package.path_pattern, re.IGNORECASE).search
        child_matches = re.compile(package.child_pattern, re.IGNORECASE).fullmatch
        folders = []
        for folder in self.walk(stop_pattern=package.child_pattern):
            content = self.content(folder)
            children = [child.name for child in content.folders.values()]
            if package.video:
                children += [path.stem for path in content.files.values() if path.suffix.lower() in VIDEO_SUFFIXES]
            path = folder.relative_to(self.root.parent if with_root_name else self.root).as_posix()
            if path_matches(path) and any(child_matches(name) for name in children):
                folders.append(folder)
        return folders

    def files_named(self, file_pattern: str, stop_pattern: str = "", max_depth: int = 3) -> list[Path]:
        """Files whose name matches the pattern in full, nearest to the root first."""
        matches = re.compile(file_pattern, re.IGNORECASE).fullmatch
        return [
            path
            for folder in self.walk(stop_pattern=stop_pattern, max_depth=max_depth)
            for path in self.content(folder).files.values()
            if matches(path.name)
        ]

    def summary(self, limit: int = 8) -> str:
        """Content of the root, in words, for error messages."""
        content = self.content(self.root)
        names = [f"{path.name}/" for path in content.folders.values()] + [path.name for path in content.files.values()]
        if content.num_images:
            names.insert(0, f"{content.num_images} image{'s' if content.num_images > 1 else ''}")
        if not names:
            return "the folder is empty"
        more = f" and {len(names) - limit} more" if len(names) > limit else ""
        archives = [path.name for path in content.files.values() if path.suffix.lower() in ARCHIVE_SUFFIXES]
        unpack = f"; unpack {', '.join(archives[:limit])} first" if archives else ""
        return "it holds " + ", ".join(names[:limit]) + more + unpack


def is_text(path: str) -> bool:
    """Whether a path can be written into a row, because file systems allow bytes that are not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _real_path(folder: Path) -> str | None:
    try:
        return os.path.realpath(folder) if folder.is_symlink() else str(folder)
    except OSError:  # removed since it was listed
        return None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a cycle of symbolic links
        return False
