"""The synthetic corpus: rendered on first use, read like every other."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import datasets

from hub_datasets.base import ANY, CorpusBuilder, Layout
from hub_datasets.errors import CorpusOptionError
from hub_datasets.records import ClipRecord, LabelSet, Package, SheetFile
from hub_datasets.scanning.cells import as_text
from hub_datasets.scanning.rows import clip_rows
from rendered_faces.motion import DIFFICULTIES
from rendered_faces.prototypes import MIXES

from .landmark_tables import TABLE
from .layouts import COLUMNS, SHEET, TRUTH_FOLDER, SyntheticLayout
from .settings import CorpusSettings
from .tree import write_tree

_NEGATIVE = ("disgust", "repression", "sadness", "fear", "anger", "contempt")
_FIVE = ("happiness", "disgust", "repression", "surprise", "others")
_EMOTIONS = (*_FIVE, "sadness", "fear", "anger", "contempt")
# Options that are whole numbers.
_WHOLE = ("num_subjects", "clips_per_subject", "seed", "size", "render_processes")
_DEFAULT_CLIPS_PER_SUBJECT = 12


class Synthetic(CorpusBuilder):
    """Micro-expressions of people who do not exist.

    * **Subjects, clips**: set by options; 10 subjects with 12 clips each by default.
    * **Faces of two kinds**: built in, a shaded relief with painted skin, brows, lips, eyes, hair, ears and sometimes
      glasses, made without a photograph, scan or trained model; or, with `face_model`, the shapes of a morphable model
      that you clone yourself (`ICT-VGL/ICT-FaceKit`, MIT licence), painted procedurally.
    * **Recording**: 100 fps, gray, 128x128 by default, JPEG. Clips last 0.2 to 0.4 s; up to 0.1 to 0.5 s at 60 to 200
      fps.
    * **Motion**: one emotion per clip as a few action units, with sides, that rise from rest to an apex and fall;
      0.5 to 3 pixels at the apex in a frame 128 pixels wide.
    * **Nuisance**, by `difficulty`: head rotation and translation, blinks, gaze, twitches without meaning, lamp
      flicker, exposure, lens blur, sensor noise, JPEG; speech as an option of the command.
    * **Labels**: emotions follow from action units by FACS prototypes (`prototypes.PROTOTYPES`). Each emotion has
      several combinations, and some belong to two or three emotions, so that no classifier can be perfect in `5class`
      and `9class`; in `3class` none crosses classes.
    * **Ground truth** in `ground_truth/*.npz`, one per recording: every action unit at every frame, onset, apex and
      offset, pose, blink, gaze, five points and all landmarks, dense optical flow from onset to apex, the identity.
    * **Alignment**: `alignment=precomputed` finds the exact five points in each subject's `landmarks.parquet`.
    * **The same seed, the same pixels**: on one machine, whatever the number of processes; another processor or other
      numerical libraries may round some pixels differently.
    * **Access**: rendered on this machine from a seed; nothing is downloaded. Frames may be published.

    Without `data_dir` the corpus is rendered once into the cache of `datasets` (under `synthetic_frames/`) and found
    again by its settings; with `data_dir` a tree of `python -m hub_datasets generate --layout synthetic` is read, and
    takes no option but `package`, `sheet` and `encoding`. `generate --layout casme2` and `--layout samm` write the
    trees and sheets of those corpora, which their loaders read unchanged. With several `render_processes`, a script
    does its work below `if __name__ == "__main__":`, because each process imports the script.

    Options: `num_subjects`, `clips_per_subject`, `seed`, `size` (pixels), `difficulty` (`mild`, `medium`, `hard`,
    `wild`), `fps`, `mix` (how often each emotion occurs: `3class`, `4class`, `5class`, `9class`, `casme2`, `samm`;
    the label set's own by default), `face_model` (folder of a morphable model), `render_processes`.
    """

    NAME = "synthetic"
    TITLE = "Synthetic micro-expressions: rendered faces with exact ground truth"
    FPS = 100.0
    ACCESS_PAGE = "nowhere: python -m hub_datasets generate --layout synthetic renders it"
    REMEDY = (
        "It is rendered and never downloaded: leave data_dir out to have it rendered, or point data_dir at a tree of "
        "`python -m hub_datasets generate --layout synthetic`."
    )
    LICENSE = "Apache-2.0 like the generator; frames show rendered faces, no real person."
    TERMS = (
        "**Results on this corpus are results on rendered faces.** They compare methods under controlled conditions; "
        "they say\nnothing about accuracy on recorded people, and must be labelled synthetic wherever they appear."
    )
    ADVICE = (
        "Real wrinkles, clothes and cast shadows are absent, hair does not move, and intensities follow synthetic "
        "curves, not recorded ones.",
        "Optical flow leaves out blinks and gaze where the eyeball is visible, and glasses and hair before the face.",
        "Identities of the built-in faces are drawn from independent numbers; no population is represented.",
    )
    EXPECTED_TREE = f"{SHEET}\nrecordings/s001/r001/00001.jpg\nrecordings/s001/{TABLE}\n{TRUTH_FOLDER}/s001_r001.npz"
    PACKAGES = (Package("frames", r"", r"s\d{3,4}"),)
    SHEETS = (SheetFile("", r"clips\.csv"),)
    LABEL_SETS = (
        LabelSet.of(
            "3class",
            "the classes of MEGC 2019",
            ("negative", "positive", "surprise"),
            words={**dict.fromkeys(_NEGATIVE, "negative"), "happiness": "positive", "surprise": "surprise"},
        ),
        LabelSet.of(
            "4class",
            "the classes of MEGC 2019 and others",
            ("negative", "positive", "surprise", "others"),
            words={
                **dict.fromkeys(_NEGATIVE, "negative"),
                "happiness": "positive",
                "surprise": "surprise",
                "others": "others",
            },
        ),
        LabelSet.of("5class", "the five classes of CASME II", _FIVE),
        LabelSet.of("9class", "every emotion that has a prototype", _EMOTIONS),
    )
    OPTIONS: ClassVar[dict[str, tuple[str, ...]]] = {
        **dict.fromkeys((*_WHOLE, "fps", "face_model"), ()),
        "difficulty": tuple(DIFFICULTIES),
        "mix": tuple(MIXES),
    }
    faces_may_be_published = True

    def __init__(self, **kwargs: Any) -> None:
        # The default is the name of the module, `corpus`.
        kwargs.setdefault("dataset_name", self.NAME)
        super().__init__(**kwargs)

    def _pop_options(self, kwargs: dict[str, Any]) -> dict[str, str]:
        free = {name: kwargs.pop(name) for name in (*_WHOLE, "fps", "face_model") if kwargs.get(name) is not None}
        options = super()._pop_options(kwargs)
        if "face_model" in free:
            options["face_model"] = str(Path(free.pop("face_model")).expanduser().resolve())
        for name, value in free.items():
            try:
                options[name] = str(int(value) if name in _WHOLE else float(value))
            except (TypeError, ValueError) as error:
                raise CorpusOptionError(
                    f"option {name} of {self.NAME} takes a number, but {value!r} was given: give one."
                ) from error
        return options

    def _chosen(self) -> dict[str, str]:
        return {name: value for name, value in self.options.items() if value != ANY}

    def settings(self) -> CorpusSettings:
        """Return the settings of the options.

        Raises:
            CorpusOptionError: one of them is out of its range.
        """
        chosen = self._chosen()
        num_subjects = int(chosen.get("num_subjects", CorpusSettings.num_subjects))
        size = int(chosen.get("size", CorpusSettings.size_hw[0]))
        return CorpusSettings(
            num_subjects=num_subjects,
            num_clips=num_subjects * int(chosen.get("clips_per_subject", _DEFAULT_CLIPS_PER_SUBJECT)),
            seed=int(chosen.get("seed", CorpusSettings.seed)),
            size_hw=(size, size),
            difficulty=chosen.get("difficulty", CorpusSettings.difficulty),
            fps=float(chosen.get("fps", CorpusSettings.fps)),
            # Each label set has a mix of its name, in which none of its classes is empty.
            mix=chosen.get("mix", self.label_set.name),
            face_model=chosen.get("face_model"),
        )

    def prepare_root(self, data_dir: str | Path | None, cache_dir: str | Path | None) -> Path:
        """Return the folder of a generated tree, rendering one into the cache when none was given.

        Raises:
            DatasetNotFoundError: `data_dir` is no folder.
            CorpusOptionError: options of the rendering were given for a tree that is rendered already.
            CorpusError: the cache cannot be written.
        """
        if data_dir is not None:
            rendering_options = [name for name in self.OPTIONS if name in self._chosen()]
            if rendering_options:
                raise CorpusOptionError(
                    f"a tree given as data_dir is read as it was rendered, but {', '.join(rendering_options)} was "
                    f"given with data_dir={str(data_dir)!r}: leave it out, or leave data_dir out to render a corpus."
                )
            return super().prepare_root(data_dir, cache_dir)
        settings = self.settings()
        # Raises for a bad face model before a cache folder is made.
        settings.family()
        cache = Path(cache_dir if cache_dir is not None else datasets.config.HF_DATASETS_CACHE).expanduser().resolve()
        root = cache / "synthetic_frames" / settings.digest()
        write_tree(settings, SyntheticLayout(), root, num_proc=int(self._chosen().get("render_processes", 1)))
        return root

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """One record per row of `clips.csv`."""
        records = []
        for row in clip_rows(layout.read_sheet(COLUMNS.values()), COLUMNS):
            subject = as_text(row.cells["subject"])
            key = f"{subject}/{row.clip}/{row.written_onset}"
            records.append(
                row.record(
                    key=key,
                    clip_id=f"{self.NAME}/{key}",
                    subject=subject,
                    recording=f"{subject}/{row.clip}",
                    folder_parts=(subject, row.clip),
                    fps=float(as_text(row.cells["fps"])),
                )
            )
        return records
