"""CAS(ME)^3: 860 micro-expressions of part A and 165 of part C, with depth (docs/sources.md, CAS(ME)^3)."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from datasets import List, Value

from hub_datasets.base import ANY, CorpusBuilder, Layout
from hub_datasets.errors import UnknownLabelSetError
from hub_datasets.records import ClipRecord, Erratum, LabelSet, Package, SheetFile, objective_label_sets
from hub_datasets.scanning.cells import as_objective_class, normalise_emotion
from hub_datasets.scanning.cutting import ResolvedClip
from hub_datasets.scanning.folders import list_frames
from hub_datasets.scanning.rows import clip_rows

_SEVEN = ("disgust", "surprise", "others", "fear", "anger", "sadness", "happiness")
_WORDS = {**{word: word for word in _SEVEN}, "sad": "sadness", "happy": "happiness"}
_FOUR = ("negative", "positive", "surprise", "others")
# The sheet of part C also holds the class names.
_POLARITY = {
    **dict.fromkeys(("disgust", "fear", "anger", "sad", "sadness", "negative"), "negative"),
    **dict.fromkeys(("happy", "happiness", "positive"), "positive"),
    "surprise": "surprise",
    "others": "others",
}
_POLARITY_WITHOUT_OTHERS = {word: name for word, name in _POLARITY.items() if name != "others"}
_PART_A = {
    "subject": "Subject",
    "clip": "Filename",
    "onset": "Onset",
    "apex": "Apex",
    "offset": "Offset",
    "action_units": "AU",
    "class": "Objective class",
    "emotion": "emotion",
}
# The sheets of all expressions have no emotions.
_PART_A_ALL = {**{role: name for role, name in _PART_A.items() if role != "emotion"}, "type": "Expression type"}
_PART_C = {"subject": "sub", "onset": "onset", "offset": "offset", "action_units": "au", "emotion": "emotion"}
_A, _C = "A", "C"
_NO_DEPTH = r"^(?!.*depth)(?!.*video)"
_CLIP = r"spno\.?\d+_[a-z]_\d+"
_COLOUR = (".jpg", ".jpeg")
# Packages and label sets by sheet; a sheet not listed (micro-expressions of part A) takes every label set.
_PACKAGES_OF_SHEET = {"part_c": ("part_c",), "all_v2": ("all_clips", "videos"), "all_v1": ("all_clips", "videos")}
_LABEL_SETS_OF_SHEET = {
    "part_c": ("4class", "3class"),
    "all_v2": ("expression_type", "objective", "objective7"),
    "all_v1": ("expression_type", "objective", "objective7"),
}
_VERSION_2 = "v2"
_VERSION_1 = "v1"
_ALL_VERSION_2, _ALL_VERSION_1 = "all_v2", "all_v1"
_MOCK_CRIME = "part_c"
_TYPES = ("micro", "macro")
_NO_OFFSET = ("spNO.40/e/no offset 1", "spNO.40/e/no offset 2")
# MER-CLIP leaves out the three clips with a wrong interval; HTNet leaves out five rows and two subjects as well.
_NOT_IN_MERCLIP = frozenset({*_NO_OFFSET, "spNO.216/d/3647"})
_NOT_IN_HTNET = frozenset({"spNO.186/f/448", "spNO.186/l/3634", "spNO.186/l/3677"})
# The authors' list of clips with an occluded face, suggested to be dropped (exception/ of their repository).
_OCCLUDED = frozenset(
    f"spNO.{clip}"
    for clip in (
        "2/e/138", "145/g/150", "146/a/530", "147/d/1146", "147/e/1058", "155/d/5", "179/b/7", "200/b/518",
        "204/a/606", "206/a/10", "206/c/69", "214/b/5", "214/k/4", "215/f/5", "215/f/2183",
    )
)  # fmt: skip


def _full_sheet(clip: str, field: str, wrong: int, right: int, reason: str) -> Erratum:
    return Erratum(clip, field, wrong, right, reason, "CAS(ME)3_part_A_v2.xls of the corpus authors")


class CasMe3(CorpusBuilder):
    """CAS(ME)^3.

    * **Subjects, clips**: part A: 860 micro-expressions of 94 subjects in the second sheet (921 of 95 in the first),
      in 463 videos that hold up to 17; part C (mock crime): 165 of 30 subjects. Part B is unlabelled.
    * **Macro-expressions**: 3346 of part A, in the sheets of all expressions, which have no emotions.
    * **Recording**: 30 fps, 1280x720 colour, pixel-aligned 16-bit depth (0: not measured).
    * **Labels**: part A: disgust 250, surprise 187, others 161, fear 86, anger 64, sad 57, happy 55; part C: negative
      99, surprise 30, others 20, positive 16.
    * **Frame numbers**: absolute in the video, with gaps where frames were dropped.
    * **Length**: median 22 frames; 623 of the 860 exceed half a second.
    * **Access**: application with signed licence.
    * **Cite**: Li et al., IEEE TPAMI 45(3), 2023.

    Rows have one more column, `depth_frames`: paths parallel to `frames`, null where a frame has no depth image, and
    empty where the download has no depth at all.

    Options: `part` (`A`, `C`; by default the one that is found), `sheet` (`v2`, `v1`, `part_c`; `all_v2`, `all_v1` for
    macro-expressions too), `package` (`clips`, `videos`, `part_c`; `all_clips` for macro-expressions too), `occluded`
    (`keep`, the default, `drop` for the 15 clips that the authors suggest to drop).
    """

    NAME = "cas_me_3"
    TITLE = "CAS(ME)^3: spontaneous expressions with depth at 30 fps"
    FPS = 30.0
    ACCESS_PAGE = "http://casme.psych.ac.cn/casme/e4"
    CITATION = (
        "Li J, Dong Z, Lu S, Wang S-J, Yan W-J, Ma Y, Liu Y, Huang C, Fu X. CAS(ME)^3: A Third Generation Facial "
        "Spontaneous Micro-Expression Database with Depth Information and High Ecological Validity. IEEE Transactions "
        "on Pattern Analysis and Machine Intelligence 45(3):2782-2800, 2023. doi:10.1109/TPAMI.2022.3174895"
    )
    EXPECTED_TREE = """\
cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx                (part A; or _v1.xls)
Part_A_ME_clip/frame/spNO.1_b_166/166.jpg                (clips, with depth/ beside frame/)
part_A/data/part_A_split/part_A/spNO.1/a/color/123.jpg   (or the full videos, with depth/ beside color/)
CAS(ME)3_part_C_ME.xlsx                                  (part C)
part_C/RGB_Depth/part_C/part_C/01/a/color/123.jpg"""
    PACKAGES = (
        Package("clips", r"^(?!.*MaE)" + _NO_DEPTH, _CLIP, True, frame_suffixes=_COLOUR),
        Package("all_clips", _NO_DEPTH, _CLIP, True, frame_suffixes=_COLOUR),
        Package("videos", r"", r"spno\.?\d+", frame_suffixes=_COLOUR),
        Package("part_c", r"part_?c", r"\d{2}", frame_suffixes=_COLOUR),
    )
    SHEETS = (
        SheetFile(_VERSION_2, r"cas\(?me\)?\^?3_part_A_ME_label_JpgIndex_v2\.(xlsx?|csv)"),
        SheetFile(_VERSION_1, r"cas\(?me\)?\^?3_part_A_ME_label_JpgIndex_v1\.(xlsx?|csv)"),
        SheetFile(_ALL_VERSION_2, r"cas\(?me\)?\^?3_part_A_v2\.(xlsx?|csv)"),
        SheetFile(_ALL_VERSION_1, r"cas\(?me\)?\^?3_part_A_v1\.(xlsx?|csv)"),
        SheetFile(_MOCK_CRIME, r"cas\(?me\)?\^?3_part_C_ME\.(xlsx?|csv)"),
    )
    LABEL_SETS = (
        LabelSet.of(
            "7class",
            "every emotion of part A",
            _SEVEN,
            (_VERSION_2, 94, (250, 187, 161, 86, 64, 57, 55)),
            (_VERSION_1, 95, (275, 199, 166, 91, 67, 63, 60)),
            words=_WORDS,
        ),
        LabelSet.of(
            "7class_merclip",
            "the 857 clips of MER-CLIP: three clips with a wrong interval left out",
            _SEVEN,
            (_VERSION_2, 94, (250, 187, 158, 86, 64, 57, 55)),
            words=_WORDS,
            left_out=_NOT_IN_MERCLIP,
        ),
        LabelSet.of(
            "4class",
            "negative, positive, surprise and others; the classes of part C",
            _FOUR,
            (_VERSION_2, 94, (457, 55, 187, 161)),
            (_VERSION_1, 95, (496, 60, 199, 166)),
            (_MOCK_CRIME, 30, (99, 16, 30, 20)),
            words=_POLARITY,
        ),
        LabelSet.of(
            "4class_merclip",
            "the 857 clips of MER-CLIP",
            _FOUR,
            (_VERSION_2, 94, (457, 55, 187, 158)),
            words=_POLARITY,
            left_out=_NOT_IN_MERCLIP,
        ),
        LabelSet.of(
            "3class",
            "the four classes without others",
            _FOUR[:3],
            (_VERSION_2, 88, (457, 55, 187)),
            (_VERSION_1, None, (496, 60, 199)),
            (_MOCK_CRIME, None, (99, 16, 30)),
            words=_POLARITY_WITHOUT_OTHERS,
        ),
        LabelSet.of(
            "3class_htnet",
            "the 687 clips of HTNet",
            _FOUR[:3],
            # Its paper counts 87 subjects, but 88 without the two that are left out are 86.
            (_VERSION_2, None, (449, 54, 184)),
            words=_POLARITY_WITHOUT_OTHERS,
            left_out=_NOT_IN_HTNET,
            left_out_subjects=frozenset({"spNO.217", "spNO.9"}),
        ),
        *objective_label_sets(
            "objective (action unit) classes I to V", (15, 151, 234, 37, 47, 3, 373), (None, 94), _VERSION_2
        ),
        LabelSet.of(
            "expression_type",
            "micro- against macro-expressions, from the sheets of all expressions",
            _TYPES,
            (_ALL_VERSION_2, 98, (860, 3346)),
            (_ALL_VERSION_1, None, (921, 3285)),
            attribute="expression_type",
        ),
    )
    _depth_listing: tuple[Path, dict[int, str]] | None = None
    OPTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = {"part": (_A, _C), "occluded": ("keep", "drop")}
    # One clip per key; the two clips of spNO.40 e without an offset are distinguished by their order in the sheet.
    ERRATA = (
        _full_sheet("spNO.149/d/112", "apex", 83, 160, "the apex lies before the onset"),
        _full_sheet("spNO.216/d/3647", "onset", 3647, 2647, "a slip of the pen, the onset lies behind the offset"),
        _full_sheet(_NO_OFFSET[0], "offset", 0, 1845, "the offset is missing"),
        _full_sheet(_NO_OFFSET[1], "offset", 0, 2403, "the offset is missing"),
        Erratum("spNO.216/e/0", "onset", 0, 1, "there is no frame 0", "the authors' RGBD script, meb"),
        Erratum("spNO.216/e/0", "apex", 0, 12, "there is no frame 0", "the authors' RGBD script"),
        Erratum("spNO.214/c/5", "offset", 3460, 34, "a clip of 3456 frames is no micro-expression", "meb"),
    )

    def wanted_sheets(self) -> tuple[SheetFile, ...]:
        """Sheets of the requested part."""
        part = self.options["part"]
        return tuple(sheet for sheet in self.SHEETS if part == ANY or (sheet.variant == _MOCK_CRIME) == (part == _C))

    def wanted_packages(self, sheets: Mapping[str, tuple[SheetFile, Path]]) -> tuple[Package, ...]:
        """Packages of the part that the sheet describes."""
        names = _PACKAGES_OF_SHEET.get(sheets["annotation"][0].variant, ("clips", "videos"))
        return tuple(package for package in self.PACKAGES if package.name in names)

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """One record per row of the sheet of the part that was found."""
        variant = layout.sheets["annotation"][0].variant
        label_sets = _LABEL_SETS_OF_SHEET.get(variant)
        if label_sets is not None and self.label_set.name not in label_sets:
            raise UnknownLabelSetError(
                f"The sheet {variant} of {self.NAME} goes with the label sets {', '.join(label_sets)}, but "
                f"{self.label_set.name!r} was given: choose one of them."
            )
        if variant == _MOCK_CRIME:
            return self._read_part_c(layout)
        records = self._read_part_a(layout)
        return records if self.options["occluded"] != "drop" else [r for r in records if r.key not in _OCCLUDED]

    def _read_part_a(self, layout: Layout) -> list[ClipRecord]:
        has_emotions = layout.sheets["annotation"][0].variant in (_VERSION_2, _VERSION_1)
        columns = _PART_A if has_emotions else _PART_A_ALL
        in_clip_folders = layout.package.child_pattern == _CLIP
        records = []
        without_offset: Counter[str] = Counter()
        for row in clip_rows(layout.read_sheet(columns.values()), columns):
            folder, video = f"spNO.{row.subject}", row.clip.lower()
            recording = f"{folder}/{video}"
            kind = "micro" if has_emotions else normalise_emotion(row.cells["type"]).partition("-")[0]
            ending = "" if kind == "micro" else f"/{kind}"
            key = f"{recording}/{row.written_onset}{ending}"
            if row.offset == 0:
                without_offset[recording] += 1
                key = f"{recording}/no offset {without_offset[recording]}"
            spellings = (folder, f"spNO{row.subject}")
            # Clip folders are named by the onset; whether a wrong onset was corrected there is not known.
            onsets = (row.written_onset, *(e.right for e in self.ERRATA if e.clip == key and e.field == "onset"))
            in_clips = tuple(f"{spelling}_{video}_{first}" for spelling in spellings for first in onsets)
            records.append(
                row.record(
                    key=key,
                    clip_id=f"cas_me_3/{recording}/{row.written_onset}{ending}",
                    subject=folder,
                    recording=recording,
                    folder_parts=(in_clips,) if in_clip_folders else (spellings, video, "color"),
                    attributes={
                        "objective_class": as_objective_class(row.cells["class"]),
                        "expression_type": kind,
                    },
                )
            )
        return records

    def _read_part_c(self, layout: Layout) -> list[ClipRecord]:
        records = []
        for row in clip_rows(layout.read_sheet(_PART_C.values()), _PART_C, needed=("subject",)):
            folder = f"{row.subject:02d}"
            records.append(
                row.record(
                    key=f"{folder}/{row.written_onset}",
                    clip_id=f"cas_me_3/part_C/{folder}/{row.written_onset}",
                    subject=folder,
                    recording=f"part_C/{folder}",
                    folder_parts=((folder, str(row.subject)), _only_sub_folder(layout, folder), "color"),
                )
            )
        return records

    def extra_features(self) -> dict[str, object]:
        """Depth images beside the frames."""
        return {"depth_frames": List(Value("string"))}

    def to_row(self, clip: ResolvedClip) -> dict[str, object]:
        """Row of a clip with its depth images."""
        folder = clip.location
        if self._depth_listing is None or self._depth_listing[0] != folder:  # clips of one video follow each other
            self._depth_listing = (folder, _depth_images(folder, in_clips=self.layout.package.child_pattern == _CLIP))
        depth = self._depth_listing[1]
        paths = [depth.get(number) for number in clip.numbers]
        return {**super().to_row(clip), "depth_frames": paths if any(paths) else []}


def _depth_images(folder: Path, in_clips: bool) -> dict[int, str]:
    """Depth images by frame number: in `depth/` beside `color/` or above it; for clips, in the tree `depth/`."""
    candidates = (
        [folder.parent.parent / "depth" / folder.name] if in_clips else [folder.parent / "depth", folder.parent]
    )
    for candidate in candidates:
        if candidate.is_dir():
            listing = list_frames(candidate, suffixes=(".png",))
            if listing.numbers:
                names = zip(listing.numbers, listing.names, strict=True)
                return {number: f"{candidate}/{name}" for number, name in names}
    return {}


def _only_sub_folder(layout: Layout, subject: str) -> str:
    """The one folder below a subject of part C, whatever its name."""
    for root in layout.package_roots:
        folder = layout.tree.find_folder(root, (subject,))
        children = layout.tree.content(folder).folders if folder is not None else {}
        if children:
            return next(iter(children))
    return "a"
