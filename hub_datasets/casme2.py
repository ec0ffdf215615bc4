"""CASME II: 255 micro-expressions at 200 frames per second (sources: docs/sources.md, CASME II)."""

from hub_datasets.base import CorpusBuilder, Layout
from hub_datasets.records import ClipRecord, Erratum, LabelSet, Package, SheetFile, objective_label_sets
from hub_datasets.scanning.cells import as_objective_class
from hub_datasets.scanning.rows import clip_rows

_SUBJECT = r"sub\d{1,2}"
# Label order of the released FDP code.
_FIVE = ("surprise", "happiness", "disgust", "repression", "others")
_MEGC = ("negative", "positive", "surprise")
_POLARITY = {"disgust": "negative", "repression": "negative", "happiness": "positive", "surprise": "surprise"}
# Clips absent from the official MEGC 2019 list: two of the 2014 sheet, the extra one of the updated sheet, and
# the three that the 2019 sheet moved from sadness to surprise.
_NOT_IN_MEGC = frozenset(
    f"sub{clip}" for clip in ("04/EP12_01f", "05/EP09_05f", "24/EP02_07", "24/EP07_01", "24/EP07_04f", "24/EP10_03")
)
_COLUMNS = {
    "subject": "Subject",
    "clip": "Filename",
    "onset": "OnsetFrame",
    "apex": "ApexFrame",
    "offset": "OffsetFrame",
    "action_units": "Action Units",
    "emotion": "Estimated Emotion",
}
_OBJECTIVE_COLUMNS = {"subject": "Subject", "clip": "Filename", "class": "Objective Class"}


def _missing_apexes() -> tuple[Erratum, ...]:
    """Apexes that a sheet leaves out ('/'): one in 2014, 21 in the updated sheet; found by optical flow."""
    apexes = {
        "04/EP12_01f": 279, "05/EP03_01": 68, "05/EP07_01": 77, "05/EP09_05f": 81, "05/EP16_04f": 166,
        "06/EP01_01": 100, "07/EP06_01": 78, "12/EP09_02": 187, "12/EP09_06": 89, "13/EP09_10": 80,
        "16/EP01_08": 88, "17/EP03_09": 134, "17/EP06_07": 231, "17/EP13_09": 53, "17/EP15_03": 329,
        "18/EP19_01": 111, "20/EP16_01": 91, "20/EP16_04": 103, "25/EP09_02": 98, "25/EP12_01": 153,
        "25/EP18_04f": 98,
    }  # fmt: skip
    reason = "found by optical flow, where the sheet has no fitting apex"
    return tuple(Erratum(f"sub{clip}", "apex", None, apex, reason, "meb") for clip, apex in apexes.items())


def _interval(clip: str, wrong: tuple[int, int], right: tuple[int, int], source: str) -> Erratum:
    reason = "sheet versions disagree and the frames on disk fit this interval"
    return Erratum(clip, "interval", wrong, right, reason, source, if_frames_agree=True)


class Casme2(CorpusBuilder):
    """CASME II.

    * **Subjects, clips**: 26 subjects, 255 clips (247 in the paper), 24 to 141 frames, mean 67.
    * **Recording**: 200 fps, 640x480 colour; face area about 280x340.
    * **Labels**: others 99, disgust 63, happiness 32, repression 27, surprise 25, sadness 7, fear 2 (2014 sheet).
      The 2019 sheet moves three clips from sadness to surprise; the updated sheet adds one disgust clip. The paper's
      own five classes (33/60/25/27/102) cannot be rebuilt from any sheet.
    * **Frame numbers**: absolute in the episode, shared by the three packages.
    * **Access**: signed licence, research only, no redistribution. A published frame carries "Copyright Xiaolan Fu";
      images of sub12 and sub22 must not be published.
    * **Cite**: Yan et al., PLoS ONE 9(1): e86041, 2014.

    Options: `package` (`cropped`, `selected`, `raw`), `sheet` (`2014`, `2019`, `updated`).
    """

    NAME = "casme2"
    TITLE = "CASME II: spontaneous micro-expressions at 200 fps"
    FPS = 200.0
    ACCESS_PAGE = "http://casme.psych.ac.cn/casme/e2"
    CITATION = (
        "Yan W-J, Li X, Wang S-J, Zhao G, Liu Y-J, Chen Y-H, Fu X. CASME II: An Improved Spontaneous Micro-Expression "
        "Database and the Baseline Evaluation. PLoS ONE 9(1): e86041, 2014. doi:10.1371/journal.pone.0086041"
    )
    EXPECTED_TREE = """\
CASME2-coding-20140508.xlsx            (or -20190701, -2019217, -updated)
CASME2-ObjectiveClasses.xlsx           (only for the objective classes)
Cropped/sub01/EP02_01f/reg_img46.jpg   (at least one of the three packages)
CASME2_RAW_selected/sub01/EP02_01f/img46.jpg
CASME2_RAW/CASME2-RAW/sub01/EP02_01f/img1.jpg"""
    PACKAGES = (
        Package("cropped", r"crop|preprocess", _SUBJECT, only_interval=True),
        Package("selected", r"selected", _SUBJECT, only_interval=True),
        Package("raw", r"raw(?!.*selected)", _SUBJECT),
        Package("frames", r"", _SUBJECT),
    )
    SHEETS = (
        SheetFile("2014", r"CASME2-coding-20140508\.xlsx?"),
        SheetFile("2019", r"CASME2-coding-(20190701|2019217)\.xlsx?"),
        SheetFile("updated", r"CASME2-coding-updated\.xlsx?"),
        SheetFile("unnamed", r"CASME2.?(coding|label).*\.(xlsx?|csv)"),
        SheetFile("objective", r"CASME2.?Objective.?Classes.*\.(xlsx?|csv)", role="objective"),
    )
    LABEL_SETS = (
        LabelSet.of(
            "5class",
            "the five classes of most papers",
            _FIVE,
            ("2014", 26, (25, 32, 63, 27, 99)),
            ("2019", 26, (28, 32, 63, 27, 99)),
            ("updated", 26, (25, 32, 64, 27, 99)),
        ),
        LabelSet.of(
            "5class_fdp",
            "the 25 test folds of FDP and MOL, which never test the three clips of sub18",
            _FIVE,
            ("2014", 25, (25, 32, 63, 27, 96)),
            ("2019", 25, (28, 32, 63, 27, 96)),
            ("updated", 25, (25, 32, 64, 27, 96)),
            left_out_subjects=frozenset({"sub18"}),
        ),
        LabelSet.of(
            "3class",
            "MEGC 2019: negative is disgust and repression; fear and sadness are left out",
            _MEGC,
            ("", 24, (88, 32, 25)),
            words=_POLARITY,
            left_out=_NOT_IN_MEGC,
        ),
        LabelSet.of(
            "3class_unfiltered",
            "the MEGC mapping over the whole sheet",
            _MEGC,
            ("2014", 24, (90, 32, 25)),
            ("2019", 24, (90, 32, 28)),
            ("updated", 24, (91, 32, 25)),
            words=_POLARITY,
        ),
        LabelSet.of(
            "4class",
            "the MEGC mapping and others",
            (*_MEGC, "others"),
            ("2014", 26, (90, 32, 25, 99)),
            ("2019", 26, (90, 32, 28, 99)),
            ("updated", 26, (91, 32, 25, 99)),
            words={**_POLARITY, "others": "others"},
        ),
        LabelSet.of(
            "7class",
            "every emotion of the sheet",
            (*_FIVE, "sadness", "fear"),
            ("2014", 26, (25, 32, 63, 27, 99, 7, 2)),
            ("2019", 26, (28, 32, 63, 27, 99, 4, 2)),
            ("updated", 26, (25, 32, 64, 27, 99, 7, 2)),
        ),
        *objective_label_sets(
            "MEGC 2018: objective (action unit) classes I to V", (25, 15, 99, 26, 20, 1, 69), (26, 26)
        ),
    )
    ERRATA = (
        *_missing_apexes(),
        _interval("sub16/EP01_08", (73, 110), (73, 96), "mimick, xzq, neu: the cropped folder ends at 96"),
        _interval("sub07/EP06_01", (15, 68), (56, 116), "updated sheet, xzq"),
        _interval("sub07/EP06_01", (15, 68), (56, 91), "meb"),
        _interval("sub07/EP06_01", (56, 116), (56, 91), "meb"),
        _interval("sub07/EP06_01", (56, 116), (15, 68), "2014 sheet"),
        _interval("sub12/EP09_02", (16, 101), (161, 206), "updated sheet, xzq"),
        _interval("sub12/EP09_02", (161, 206), (16, 101), "2014 sheet"),
        _interval("sub12/EP09_06", (66, 111), (66, 106), "updated sheet, xzq"),
        _interval("sub12/EP09_06", (66, 106), (66, 111), "2014 sheet"),
        _interval("sub20/EP16_01", (71, 111), (71, 106), "updated sheet, xzq"),
        _interval("sub20/EP16_01", (71, 106), (71, 111), "2014 sheet"),
    )

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """One record per row of the coding sheet; (Subject, Filename) is unique in every version."""
        objective = self._objective_classes(layout) if self.label_set.attribute == "objective_class" else {}
        records = []
        for row in clip_rows(layout.read_sheet(_COLUMNS.values()), _COLUMNS):
            folder = f"sub{row.subject:02d}"
            key = f"{folder}/{row.clip}"
            records.append(
                row.record(
                    key=key,
                    clip_id=f"casme2/{key}/{row.written_onset}",
                    subject=folder,
                    recording=key,
                    folder_parts=((folder, f"sub{row.subject}"), row.clip),
                    attributes={"objective_class": objective[key]} if key in objective else {},
                )
            )
        return records

    def sheet_variant(self, layout: Layout, records: list[ClipRecord]) -> str:
        """Identify a renamed sheet by its content: the updated one has one row more, the 2019 one fewer sad clips."""
        named = super().sheet_variant(layout, records)
        if named != "unnamed":
            return named
        if any(record.key == "sub24/EP02_07" for record in records):
            return "updated"
        moved = {"sub24/EP07_01", "sub24/EP07_04f", "sub24/EP10_03"}
        return "2019" if any(record.key in moved and record.emotion == "surprise" for record in records) else "2014"

    @staticmethod
    def _objective_classes(layout: Layout) -> dict[str, str]:
        frame = layout.read_sheet(_OBJECTIVE_COLUMNS.values(), "objective")
        return {
            f"sub{row.subject:02d}/{row.clip}": as_objective_class(row.cells["class"])
            for row in clip_rows(frame, _OBJECTIVE_COLUMNS, needed=("subject",))
        }
