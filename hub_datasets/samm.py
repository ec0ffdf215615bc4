"""SAMM: 159 micro-expressions at 200 frames per second (sources: docs/sources.md, SAMM)."""

from hub_datasets.base import CorpusBuilder, Layout
from hub_datasets.records import ClipRecord, Erratum, LabelSet, Package, SheetFile, Wrong, objective_label_sets
from hub_datasets.scanning.cells import as_objective_class
from hub_datasets.scanning.rows import clip_rows
from hub_datasets.scanning.sheets import header_with

_SUBJECT = r"\d{3}"
# Label order of the released FDP code.
_FIVE = ("surprise", "happiness", "anger", "contempt", "others")
_EIGHT = (*_FIVE, "disgust", "fear", "sadness")
_MEGC = ("negative", "positive", "surprise")
_NEGATIVE = ("anger", "contempt", "disgust", "fear", "sadness")
_SMALL = {"anger": "negative", "contempt": "negative", "happiness": "positive", "surprise": "surprise"}
_APEX_OUTSIDE = "the sheet's apex lies outside the interval; the middle one of the replacements in use"
_COLUMNS = {
    "subject": "Subject",
    "clip": "Filename",
    "onset": "Onset Frame",
    "apex": "Apex Frame",
    "offset": "Offset Frame",
    "action_units": "Action Units",
    "emotion": "Estimated Emotion",
}


class Samm(CorpusBuilder):
    """SAMM.

    * **Subjects, clips**: 32 recorded, 29 with micro-expressions; 159 clips, 30 to 101 frames, mean 74.
    * **Recording**: 200 fps, gray, frames of 960x650.
    * **Labels**: anger 57, happiness 26, other 26, surprise 15, contempt 12, disgust 9, fear 8, sadness 6.
    * **Action units**: with sides, intensities and alternatives; both sides of an 'or' are kept.
    * **Frame numbers**: absolute in the long video, 4 or 5 digits by source video.
    * **Access**: signed licence agreement, Manchester Metropolitan University.
    * **Cite**: Davison et al., IEEE TAFFC 9(1), 2018; objective classes: Davison et al., J. Imaging 4(10), 2018.

    Options: `package` (`cropped`, `frames`).
    """

    NAME = "samm"
    TITLE = "SAMM: spontaneous micro-facial movements at 200 fps"
    FPS = 200.0
    ACCESS_PAGE = "http://personalpages.manchester.ac.uk/staff/adrian.davison/SAMM.html"
    MODEL_TERMS = (
        "SAMM is handed out under a signed agreement: check the terms that you signed before you use or pass on "
        "weights that were trained on it."
    )
    CITATION = (
        "Davison AK, Lansley C, Costen N, Tan K, Yap MH. SAMM: A Spontaneous Micro-Facial Movement Dataset. IEEE "
        "Transactions on Affective Computing 9(1):116-129, 2018. doi:10.1109/TAFFC.2016.2573832"
    )
    EXPECTED_TREE = """\
SAMM_Micro_FACS_Codes_v2.xlsx          (or SAMM_20181215_Micro_FACS_Codes_v2.xlsx)
SAMM/006/006_1_2/006_05562.jpg         (or the cropped faces:)
SAMM_CROP/006/006_1_2/006_05562.jpg"""
    PACKAGES = (
        Package("cropped", r"crop", _SUBJECT, only_interval=True),
        Package("frames", r"^(?!.*crop)", _SUBJECT, only_interval=True, fallback=True),
    )
    SHEETS = (SheetFile("v2", r"SAMM(_\d{8})?_Micro_FACS_Codes.*\.(xlsx?|csv)"),)
    LABEL_SETS = (
        LabelSet.of("5class", "the five classes of most papers", _FIVE, ("", 27, (15, 26, 57, 12, 26))),
        LabelSet.of(
            "3class",
            "MEGC 2019: negative is anger, contempt, disgust, fear and sadness",
            _MEGC,
            ("", 28, (92, 26, 15)),
            words={**dict.fromkeys(_NEGATIVE, "negative"), "happiness": "positive", "surprise": "surprise"},
        ),
        LabelSet.of(
            "3class_small", "negative is anger and contempt only", _MEGC, ("", 26, (69, 26, 15)), words=_SMALL
        ),
        LabelSet.of(
            "4class",
            "negative (anger and contempt), positive, surprise and others",
            (*_MEGC, "others"),
            ("", 27, (69, 26, 15, 26)),
            words={**_SMALL, "others": "others"},
        ),
        LabelSet.of("8class", "every emotion of the sheet", _EIGHT, ("", 29, (15, 26, 57, 12, 26, 9, 8, 6))),
        *objective_label_sets(
            "MEGC 2018: objective (action unit) classes I to V", (24, 13, 20, 8, 3, 7, 84), (21, 29)
        ),
    )
    ERRATA = (
        # Replacements in use: 1088, 1105, 1113, 1124 and 4930, 4937, 4945; taking the middle one is our choice.
        Erratum("028_4_1", "apex", Wrong.OUTSIDE_INTERVAL, 1105, _APEX_OUTSIDE, "capsule, neu, meb, xzq"),
        Erratum("032_3_1", "apex", Wrong.OUTSIDE_INTERVAL, 4937, _APEX_OUTSIDE, "capsule, neu, meb, xzq"),
        Erratum("032_3_2", "apex", 5127, 5130, "the frames show the apex later", "meb"),
        Erratum("013_1_9", "offset", Wrong.ANYTHING_ELSE, 5739, "an earlier sheet is wrong", "meb"),
    )

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """One record per row; the header is searched for, because notes precede it."""
        frame = layout.read_sheet(_COLUMNS.values(), header_row=header_with("Subject", "Filename"))
        records = []
        for row in clip_rows(frame, {**_COLUMNS, "class": "Objective Classes"}):
            folder = f"{row.subject:03d}"
            records.append(
                row.record(
                    key=row.clip,
                    clip_id=f"samm/{folder}/{row.clip}/{row.written_onset}",
                    subject=folder,
                    # subject_video_index: the long video that the clip was cut from
                    recording=row.clip.rpartition("_")[0],
                    folder_parts=(folder, row.clip),
                    attributes={"objective_class": as_objective_class(row.cells["class"])},
                )
            )
        return records
