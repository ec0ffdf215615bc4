"""CASME II: 255 micro-expressions at 200 frames per second (fact sheet, section 2)."""

from hub_datasets.base import CorpusBuilder, Layout
from hub_datasets.records import (
    OBJECTIVE_CLASSES,
    ClipRecord,
    Erratum,
    Expected,
    LabelSet,
    Package,
    SheetFile,
    as_frame_number,
    as_objective_class,
    as_subject_number,
    as_text,
    identity_labels,
    normalise_emotion,
)
from hub_datasets.scanning.sheets import read_sheet, require_columns

_SUBJECT = r"sub\d{1,2}"
# FDP's label order (fact sheet, section 2).
_FIVE = ("surprise", "happiness", "disgust", "repression", "others")
_MEGC = ("negative", "positive", "surprise")
_POLARITY = {"disgust": "negative", "repression": "negative", "happiness": "positive", "surprise": "surprise"}
# Clips that the official MEGC 2019 list does not know: two of the 2014 sheet, the extra one of the updated sheet, and
# the three that the 2019 sheet moved from sadness to surprise.
_NOT_IN_MEGC = frozenset(
    f"sub{clip}" for clip in ("04/EP12_01f", "05/EP09_05f", "24/EP02_07", "24/EP07_01", "24/EP07_04f", "24/EP10_03")
)
_OBJECTIVE_COUNTS = dict(zip(OBJECTIVE_CLASSES, (25, 15, 99, 26, 20, 1, 69), strict=True))


def _counts(names: tuple[str, ...], *numbers: int) -> dict[str, int]:
    return dict(zip(names, numbers, strict=True))


def _missing_apexes() -> tuple[Erratum, ...]:
    """Apexes that a sheet leaves out ('/'): one in 2014, 21 in the updated sheet; found by optical flow."""
    apexes = {
        "04/EP12_01f": 279, "05/EP03_01": 68, "05/EP07_01": 77, "05/EP09_05f": 81, "05/EP16_04f": 166,
        "06/EP01_01": 100, "07/EP06_01": 78, "12/EP09_02": 187, "12/EP09_06": 89, "13/EP09_10": 80,
        "16/EP01_08": 88, "17/EP03_09": 134, "17/EP06_07": 231, "17/EP13_09": 53, "17/EP15_03": 329,
        "18/EP19_01": 111, "20/EP16_01": 91, "20/EP16_04": 103, "25/EP09_02": 98, "25/EP12_01": 153,
        "25/EP18_04f": 98,
    }  # fmt: skip
    return tuple(
        Erratum(
            f"sub{clip}",
            "apex",
            None,
            apex,
            "found by optical flow, where the sheet has no fitting apex",
            "fact sheet 2, meb",
        )
        for clip, apex in apexes.items()
    )


def _interval(clip: str, wrong: tuple[int, int], right: tuple[int, int], source: str) -> Erratum:
    reason = "sheet versions disagree and the frames on disk fit this interval"
    return Erratum(clip, "interval", wrong, right, reason, f"fact sheet 2, {source}", if_frames_agree=True)


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
        LabelSet(
            "5class",
            _FIVE,
            identity_labels(_FIVE),
            "the five classes of most papers",
            (
                Expected(_counts(_FIVE, 25, 32, 63, 27, 99), 26, "2014"),
                Expected(_counts(_FIVE, 28, 32, 63, 27, 99), 26, "2019"),
                Expected(_counts(_FIVE, 25, 32, 64, 27, 99), 26, "updated"),
            ),
        ),
        LabelSet(
            "5class_fdp",
            _FIVE,
            identity_labels(_FIVE),
            "the 25 test folds of FDP and MOL, which never test the three clips of sub18",
            (
                Expected(_counts(_FIVE, 25, 32, 63, 27, 96), 25, "2014"),
                Expected(_counts(_FIVE, 28, 32, 63, 27, 96), 25, "2019"),
                Expected(_counts(_FIVE, 25, 32, 64, 27, 96), 25, "updated"),
            ),
            left_out_subjects=frozenset({"sub18"}),
        ),
        LabelSet(
            "3class",
            _MEGC,
            _POLARITY,
            "MEGC 2019: negative is disgust and repression; fear and sadness are left out",
            (Expected(_counts(_MEGC, 88, 32, 25), 24),),
            left_out=_NOT_IN_MEGC,
        ),
        LabelSet(
            "3class_unfiltered",
            _MEGC,
            _POLARITY,
            "the MEGC mapping over the whole sheet",
            (
                Expected(_counts(_MEGC, 90, 32, 25), 24, "2014"),
                Expected(_counts(_MEGC, 90, 32, 28), 24, "2019"),
                Expected(_counts(_MEGC, 91, 32, 25), 24, "updated"),
            ),
        ),
        LabelSet(
            "4class",
            (*_MEGC, "others"),
            {**_POLARITY, "others": "others"},
            "the MEGC mapping and others",
            (
                Expected(_counts((*_MEGC, "others"), 90, 32, 25, 99), 26, "2014"),
                Expected(_counts((*_MEGC, "others"), 90, 32, 28, 99), 26, "2019"),
                Expected(_counts((*_MEGC, "others"), 91, 32, 25, 99), 26, "updated"),
            ),
        ),
        LabelSet(
            "7class",
            (*_FIVE, "sadness", "fear"),
            identity_labels((*_FIVE, "sadness", "fear")),
            "every emotion of the sheet",
            (
                Expected(_counts((*_FIVE, "sadness", "fear"), 25, 32, 63, 27, 99, 7, 2), 26, "2014"),
                Expected(_counts((*_FIVE, "sadness", "fear"), 28, 32, 63, 27, 99, 4, 2), 26, "2019"),
                Expected(_counts((*_FIVE, "sadness", "fear"), 25, 32, 64, 27, 99, 7, 2), 26, "updated"),
            ),
        ),
        LabelSet(
            "objective",
            OBJECTIVE_CLASSES[:5],
            identity_labels(OBJECTIVE_CLASSES[:5]),
            "MEGC 2018: objective (action unit) classes I to V",
            (Expected({name: _OBJECTIVE_COUNTS[name] for name in OBJECTIVE_CLASSES[:5]}, 26),),
            attribute="objective_class",
        ),
        LabelSet(
            "objective7",
            OBJECTIVE_CLASSES,
            identity_labels(OBJECTIVE_CLASSES),
            "all seven objective classes",
            (Expected(_OBJECTIVE_COUNTS, 26),),
            attribute="objective_class",
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
        path = layout.sheet_path()
        frame = read_sheet(path)
        columns = [
            "Subject",
            "Filename",
            "OnsetFrame",
            "ApexFrame",
            "OffsetFrame",
            "Action Units",
            "Estimated Emotion",
        ]
        require_columns(frame, columns, path)
        objective = self._objective_classes(layout) if self.label_set.attribute == "objective_class" else {}
        records = []
        for subject, clip, onset, apex, offset, units, emotion in frame[columns].itertuples(index=False):
            number, clip = as_subject_number(subject), as_text(clip)
            if number is None or not clip:
                continue
            folder = f"sub{number:02d}"
            key = f"{folder}/{clip}"
            records.append(
                ClipRecord(
                    key=key,
                    clip_id=f"casme2/{key}/{as_text(onset)}",
                    subject=folder,
                    recording=key,
                    folder_parts=((folder, f"sub{number}"), clip),
                    onset=as_frame_number(onset),
                    apex=as_frame_number(apex),
                    offset=as_frame_number(offset),
                    emotion=normalise_emotion(emotion),
                    action_units=as_text(units),
                    attributes={"objective_class": objective[key]} if key in objective else {},
                )
            )
        return records

    def sheet_variant(self, layout: Layout, records: list[ClipRecord]) -> str:
        """Tell a renamed sheet by its content: the updated one has one row more, the 2019 one fewer sad clips."""
        named = super().sheet_variant(layout, records)
        if named != "unnamed":
            return named
        if any(record.key == "sub24/EP02_07" for record in records):
            return "updated"
        moved = {"sub24/EP07_01", "sub24/EP07_04f", "sub24/EP10_03"}
        return "2019" if any(record.key in moved and record.emotion == "surprise" for record in records) else "2014"

    @staticmethod
    def _objective_classes(layout: Layout) -> dict[str, str]:
        path = layout.sheet_path("objective")
        frame = read_sheet(path)
        require_columns(frame, ["Subject", "Filename", "Objective Class"], path)
        classes = {}
        for subject, clip, cell in frame[["Subject", "Filename", "Objective Class"]].itertuples(index=False):
            number = as_subject_number(subject)
            if number is not None:
                classes[f"sub{number:02d}/{as_text(clip)}"] = as_objective_class(cell)
        return classes
