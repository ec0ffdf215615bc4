"""Your own recordings: a CSV file beside folders of frames or video files."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import ClassVar

from hub_datasets.base import ANY, CorpusBuilder, Layout
from hub_datasets.errors import CorpusOptionError, SheetError
from hub_datasets.records import ClipEnd, ClipRecord, LabelSet, Package, SheetFile
from hub_datasets.scanning.cells import as_frame_number, as_text, first_spellings, name_key, word_key
from hub_datasets.scanning.cutting import LostClip, ResolvedClip
from hub_datasets.scanning.folders import FolderTree
from processing_fdp.frame_source_fdp import VideoReadError
from processing_fdp.video_files_fdp import probe_clip_file

# Accepted column names; letter case, blanks and underscores are ignored.
_COLUMNS = {
    "path": ("path", "clip", "folder", "video", "frames"),
    "subject": ("subject", "subjectid", "participant"),
    "label": ("label", "class", "emotion"),
    "onset": ("onset", "onsetframe"),
    "apex": ("apex", "apexframe"),
    "offset": ("offset", "offsetframe"),
    "action_units": ("actionunits", "actionunit", "aus", "au"),
    "fps": ("fps", "framerate"),
    "clip_id": ("clipid", "id"),
    "recording": ("recording",),
    "emotion": ("emotion", "label", "class"),
}
_REQUIRED = ("path", "subject", "label")


class Custom(CorpusBuilder):
    """Your own clips.

    * **CSV**: `clips.csv`, or the only CSV file of the folder, or the file that `data_dir` names. Columns `path` (a
      folder of frames or a video file, relative to the CSV file), `subject`, `label`; optional `onset`, `apex`,
      `offset`, `action_units`, `emotion`, `fps`, `recording`, `clip_id`.
    * **Frame numbers**: for a folder, the digits that vary from file name to file name; for a video, positions counted
      from 0. Without onset and offset, the whole folder or video is the clip (`clip_end` is then `recording`).
    * **Labels**: the words of the `label` column in alphabetical order, or those of the option `labels` in its order.
    * **Spellings**: letter case, width and normal form do not matter: `S01`, `s1` and `sub01` are one subject, `Joy`
      and `joy` one label; `notes` list what was unified.
    * **Encoding**: UTF-8 or UTF-16; any other is refused unless the option `encoding` names it.
    * **Refused**: absolute paths and paths that leave the folder; their rows are reported as lost.

    Options: `csv` (name of the file), `labels` (`"negative,positive,surprise"`), `encoding` (`cp1252`, `cp932`, ...).
    """

    NAME = "custom"
    TITLE = "Your own recordings"
    ACCESS_PAGE = "nowhere: these are your own recordings"
    REMEDY = "These are your own recordings: point data_dir at the folder of their CSV file, or at the file itself."
    LICENSE = "Yours. Faces are personal data: publish nothing without consent."
    TERMS = (
        "**This card carries no data.** The recordings are yours: faces are personal data, so publish nothing without "
        "the\nconsent of the people shown. A dataset that you publish needs its own card."
    )
    ADVICE = ("Ask everyone who is shown, for this use, in writing.",)
    EXPECTED_TREE = """\
clips.csv            path,subject,label,onset,apex,offset,action_units,fps   (the last five are optional)
recordings/p01_a/    frames, e.g. 0001.png, or
recordings/p01_a.mp4"""
    PACKAGES = (Package("files", r"", r".*"),)
    OPTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = {"csv": (), "labels": ()}
    LABEL_SETS = (LabelSet.of("labels", "the words of the label column", ()),)
    VIDEO_FIRST_FRAME = 0

    def prepare_root(self, data_dir: str | Path | None, cache_dir: str | Path | None) -> Path:
        """Folder of the CSV file, which `data_dir` may also name."""
        if data_dir is not None and Path(data_dir).expanduser().is_file():
            path = Path(data_dir).expanduser()
            self.options["csv"] = path.name
            return super().prepare_root(path.parent, cache_dir)
        return super().prepare_root(data_dir, cache_dir)

    def discover(self, root: Path) -> Layout:
        """Find the CSV file; clips are found by its paths."""
        tree = FolderTree(root)
        files = tree.content(root).files
        wanted = self.options["csv"]
        if wanted != ANY:
            paths = [files[name_key(wanted)]] if name_key(wanted) in files else []
        else:
            paths = [path for name, path in files.items() if name.endswith(".csv")]
            paths = [path for path in paths if name_key(path.name) == "clips.csv"] or paths
        if len(paths) != 1:
            found = (
                f"{len(paths)} CSV files, and none is called clips.csv" if paths else f"no CSV file; {tree.summary()}"
            )
            raise self.not_found(str(root), found)
        sheet = SheetFile("", "")
        return Layout(tree, self.PACKAGES[0], [root], {"annotation": (sheet, paths[0])}, self.encoding)

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """One record per row; the label set is made from the label column."""
        path = layout.sheet_path()
        frame = layout.read_sheet()
        columns = _find_columns(list(frame.columns), path)
        records = []
        for index, row in enumerate(frame.to_dict("records")):
            cells = {name: row[column] for name, column in columns.items()}
            records.append(_record(index, cells))
        self._unify_labels(records)
        words = sorted({record.attributes["label"] for record in records} - {""})
        if self.options["labels"] != ANY:
            by_key = {word_key(word): word for word in words}
            asked = [word.strip() for word in self.options["labels"].split(",")]
            if absent := [word for word in asked if word_key(word) not in by_key]:
                raise CorpusOptionError(
                    f"option labels takes words of the label column ({', '.join(words)}), "
                    f"but {', '.join(absent)} was given: choose among them."
                )
            words = [by_key[word_key(word)] for word in asked]
        if not words:
            raise SheetError(f"a label column must hold words, but that of {path} is empty: fill it.")
        self.label_set = LabelSet.of("labels", "", words, attribute="label")
        return records

    @staticmethod
    def _unify_labels(records: list[ClipRecord]) -> None:
        """Write every class in one spelling, the first of the column: `Joy` and `joy ` are one class."""
        chosen = first_spellings((record.attributes["label"] for record in records), word_key)
        for record in records:
            word = record.attributes["label"]
            if (right := chosen[word]) != word:
                record.notes.append(f"label {word!r} -> {right!r}: two spellings of one class")
                record.attributes["label"] = right

    def locate(self, layout: Layout, record: ClipRecord) -> Path | None:
        """Folder or file at the row's path, else the only one whose path differs in letter case or normal form."""
        parts = [part for part in record.folder_parts if isinstance(part, str)]
        path = layout.tree.root.joinpath(*parts)
        try:
            if path.exists():
                return path
        except OSError:  # a cycle of symbolic links, or a name that is too long
            return None
        matches = layout.tree.find_entries(layout.tree.root, path.relative_to(layout.tree.root).parts)
        if len(matches) > 1:
            names = ", ".join(repr(match.name) for match in matches)
            record.problem = f"several names differ in letter case or accents alone ({names}): rename all but one"
        return matches[0] if len(matches) == 1 and matches[0].exists() else None

    def is_video(self, layout: Layout, path: Path) -> bool:
        """Whether a row names a file, because one sheet may list folders and files."""
        return path.is_file()

    def cut_video(self, record: ClipRecord, path: Path, label: str) -> ResolvedClip | LostClip:
        """Fill in interval and frame rate from the file, and clip the interval to its length."""
        try:
            file = probe_clip_file(str(path))
        except VideoReadError as error:
            return LostClip(record.clip_id, f"{path} cannot be read as a video: {error}")
        count = file.frame_count
        record.fps = record.fps if record.fps is not None else file.frames_per_second
        record.notes += file.notes
        if record.offset is None:
            record.end = ClipEnd.RECORDING if record.onset is None else ClipEnd.UNKNOWN
            record.offset = count - 1
        elif record.offset >= count:
            record.notes.append(f"offset {record.offset} -> {count - 1}: the video ends there")
            record.offset, record.end = count - 1, ClipEnd.UNKNOWN
        record.onset = 0 if record.onset is None else record.onset
        return super().cut_video(record, path, label)


def _find_columns(given: list[object], path: Path) -> dict[str, object]:
    by_name = {str(column).casefold().replace("_", "").replace(" ", ""): column for column in given}
    columns = {
        name: by_name[next(spelling for spelling in spellings if spelling in by_name)]
        for name, spellings in _COLUMNS.items()
        if any(spelling in by_name for spelling in spellings)
    }
    if missing := [name for name in _REQUIRED if name not in columns]:
        raise SheetError(
            f"{path} needs the columns {', '.join(_REQUIRED)}, but has {', '.join(map(str, given)) or 'none'}: "
            f"add {', '.join(missing)}."
        )
    return columns


def _record(index: int, cells: dict[str, object]) -> ClipRecord:
    text = {name: as_text(cell) for name, cell in cells.items()}
    path = text["path"].replace("\\", "/")
    problem = _path_problem(text["path"])
    if not problem and not (text["subject"] and text["label"]):
        problem = "the row has no subject or no label"
    numbers = {name: as_frame_number(cells.get(name)) for name in ("onset", "apex", "offset")}
    for name, number in numbers.items():
        if number is None and text.get(name, ""):
            problem = problem or f"{name} is not a frame number: {text[name]!r}"
    fps = text.get("fps", "")
    try:
        rate = float(fps) if fps else None
    except ValueError:
        rate, problem = None, problem or f"fps is not a number: {fps!r}"
    clip_id = text.get("clip_id", "") or f"{path}/{numbers['onset'] or 0}"
    return ClipRecord(
        key=f"{path}/{index}",
        clip_id=f"custom/{clip_id}",
        subject=text["subject"],
        recording=text.get("recording", "") or path,
        folder_parts=PurePosixPath(path).parts,
        onset=numbers["onset"],
        apex=numbers["apex"],
        offset=numbers["offset"],
        emotion=text.get("emotion", "") or text["label"],
        action_units=text.get("action_units", ""),
        fps=rate,
        attributes={"label": text["label"]},
        problem=problem,
    )


def _path_problem(path: str) -> str:
    """Reason to refuse a path of a CSV file; '' for a path below the folder of the file."""
    windows = PureWindowsPath(path)
    if not path:
        return "the row has no path"
    if windows.drive or windows.root or path.startswith("~"):
        return f"the path {path!r} is absolute: write it relative to the CSV file"
    if ".." in windows.parts:
        return f"the path {path!r} leaves the folder of the CSV file: put the clip below it"
    return "the path holds a null character" if "\0" in path else ""
