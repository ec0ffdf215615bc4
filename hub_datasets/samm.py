"""SAMM: 159 micro-expressions at 200 frames per second (fact sheet, section 3)."""

from hub_datasets.base import CorpusBuilder, Layout
from hub_datasets.records import (
    OBJECTIVE_CLASSES,
    ClipRecord,
    Erratum,
    Expected,
    LabelSet,
    Package,
    SheetFile,
    Wrong,
    as_frame_number,
    as_objective_class,
    as_subject_number,
    as_text,
    identity_labels,
    normalise_emotion,
)
from hub_datasets.scanning.sheets import header_with, read_sheet, require_columns

_SUBJECT = r"\d{3}"
# FDP's label order (fact sheet, section 3).
_FIVE = ("surprise", "happiness", "anger", "contempt", "others")
_EIGHT = (*_FIVE, "disgust", "fear", "sadness")
_MEGC = ("negative", "positive", "surprise")
_NEGATIVE = ("anger", "contempt", "disgust", "fear", "sadness")
_SMALL = {"anger": "negative", "contempt": "negative", "happiness": "positive", "surprise": "surprise"}
_OBJECTIVE_COUNTS = dict(zip(OBJECTIVE_CLASSES, (24, 13, 20, 8, 3, 7, 84), strict=True))
_APEX_OUTSIDE = "the sheet's apex lies outside the interval; the middle one of the replacements in use"


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
        LabelSet(
            "5class",
            _FIVE,
            identity_labels(_FIVE),
            "the five classes of most papers",
            (Expected(dict(zip(_FIVE, (15, 26, 57, 12, 26), strict=True)), 27),),
        ),
        LabelSet(
            "3class",
            _MEGC,
            {**dict.fromkeys(_NEGATIVE, "negative"), "happiness": "positive", "surprise": "surprise"},
            "MEGC 2019: negative is anger, contempt, disgust, fear and sadness",
            (Expected({"negative": 92, "positive": 26, "surprise": 15}, 28),),
        ),
        LabelSet(
            "3class_small",
            _MEGC,
            _SMALL,
            "negative is anger and contempt only",
            (Expected({"negative": 69, "positive": 26, "surprise": 15}, 26),),
        ),
        LabelSet(
            "4class",
            (*_MEGC, "others"),
            {**_SMALL, "others": "others"},
            "negative (anger and contempt), positive, surprise and others",
            (Expected({"negative": 69, "positive": 26, "surprise": 15, "others": 26}, 27),),
        ),
        LabelSet(
            "8class",
            _EIGHT,
            identity_labels(_EIGHT),
            "every emotion of the sheet",
            (Expected(dict(zip(_EIGHT, (15, 26, 57, 12, 26, 9, 8, 6), strict=True)), 29),),
        ),
        LabelSet(
            "objective",
            OBJECTIVE_CLASSES[:5],
            identity_labels(OBJECTIVE_CLASSES[:5]),
            "MEGC 2018: objective (action unit) classes I to V",
            (Expected({name: _OBJECTIVE_COUNTS[name] for name in OBJECTIVE_CLASSES[:5]}, 21),),
            attribute="objective_class",
        ),
        LabelSet(
            "objective7",
            OBJECTIVE_CLASSES,
            identity_labels(OBJECTIVE_CLASSES),
            "all seven objective classes",
            (Expected(_OBJECTIVE_COUNTS, 29),),
            attribute="objective_class",
        ),
    )
    ERRATA = (
        # In use: 1088, 1105, 1113, 1124 and 4930, 4937, 4945; which one is best is not known, the middle is our
        # choice.
        Erratum(
            "028_4_1", "apex", Wrong.OUTSIDE_INTERVAL, 1105, _APEX_OUTSIDE, "fact sheet 3: capsule, neu, meb, xzq"
        ),
        Erratum(
            "032_3_1", "apex", Wrong.OUTSIDE_INTERVAL, 4937, _APEX_OUTSIDE, "fact sheet 3: capsule, neu, meb, xzq"
        ),
        Erratum("032_3_2", "apex", 5127, 5130, "the frames show the apex later", "fact sheet 3: meb"),
        Erratum("013_1_9", "offset", Wrong.ANYTHING_ELSE, 5739, "an earlier sheet is wrong", "fact sheet 3: meb"),
    )

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """One record per row; notes stand above the header, so that it is searched for."""
        path = layout.sheet_path()
        frame = read_sheet(path, header_row=header_with("Subject", "Filename"))
        columns = [
            "Subject",
            "Filename",
            "Onset Frame",
            "Apex Frame",
            "Offset Frame",
            "Action Units",
            "Estimated Emotion",
        ]
        require_columns(frame, columns, path)
        objective = frame.get("Objective Classes", [None] * len(frame))
        records = []
        for row, class_cell in zip(frame[columns].itertuples(index=False), objective, strict=True):
            subject, clip, onset, apex, offset, units, emotion = row
            number, clip = as_subject_number(subject), as_text(clip)
            if number is None or not clip:
                continue
            folder = f"{number:03d}"
            records.append(
                ClipRecord(
                    key=clip,
                    clip_id=f"samm/{folder}/{clip}/{as_text(onset)}",
                    subject=folder,
                    # subject_video_index: the long video that the clip was cut from
                    recording=clip.rpartition("_")[0],
                    folder_parts=(folder, clip),
                    onset=as_frame_number(onset),
                    apex=as_frame_number(apex),
                    offset=as_frame_number(offset),
                    emotion=normalise_emotion(emotion),
                    action_units=as_text(units),
                    attributes={"objective_class": as_objective_class(class_cell)},
                )
            )
        return records
