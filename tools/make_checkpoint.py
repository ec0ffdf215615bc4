"""The checkpoint that the repository ships, from seeds alone: `make checkpoint FACES=FOLDER`.

    python -m tools.make_checkpoint --faces FACES    # render, train, calibrate, judge, write checkpoints/fdp-tiny

FACES is the folder of an ICT-FaceKit clone; with `--built_in_faces` none is needed. Steps that are finished in the
work folder are not repeated, so the same command resumes after an interruption. `--processes N` renders and trains by
N processes. `--preset small` makes `fdp-small`, in the work folder. `--short` takes seconds: few clips, few steps.
`--renew_code` copies changed files of `modeling_fdp` and `processing_fdp` into the checkpoint and trains nothing.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import jinja2
import torch
from safetensors.torch import load_file, save

from benchmarks.disturbances import DISTURBANCES, NOTHING_MOVES, Recording
from benchmarks.windows import TRIMMED, Seen, disturbed, network_view, read_recordings
from evaluation_fdp.atomic_files import file_digest, read_json, write_json
from evaluation_fdp.errors import ConfigError
from evaluation_fdp.run_folder import WEIGHTS_NAME
from hub_datasets import get_builder_class
from hub_datasets.synthetic.layouts import LAYOUTS
from hub_datasets.synthetic.settings import CorpusSettings
from hub_datasets.synthetic.tree import write_tree
from modeling_fdp import FDPForVideoClassification
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from rendered_faces.prototypes import highest_uf1
from rendered_faces.variations import switches_of
from tools.checkpoint_figures import (
    CALIBRATION_ROWS,
    KEPT_ROWS,
    MOVING_ROWS,
    Calibration,
    CardRow,
    calibrate,
    calibration_table,
    judge,
    windows_table,
)
from training_fdp.cli import run_main, say
from training_fdp.commands.train import main as train

ROOT = Path(__file__).resolve().parents[1]
CARD = Path(__file__).with_name("checkpoint_card.md")
LABEL_SET = "4class"
# Faces and difficulty of the training corpora, in turn. Recordings of `wild` keep one frame rate, because windows draw
# slower cameras themselves.
KINDS = (("built_in", "wild"), ("morphable", "wild"), ("built_in", "medium"), ("morphable", "medium"))
# First seeds of the corpora; no other corpus of this repository has them. 73001 to 73014 are not judged, because
# figures of 73001 and 73002 were seen while the calibration was designed, of 73003 and 73004 before the last stage,
# of 73005 to 73010 before `both_signs` was settled, and of 73011 to 73014 before `movement_weights` were.
TRAINING_SEED, CALIBRATION_SEED, JUDGED_SEED = 71_001, 72_001, 73_015
# The crop for which the movement directions were fitted.
CROP = ("alignment=precomputed", "crop_scale=2.0")


class Stage(NamedTuple):
    """A training on the first corpora, from the weights of the stage before.

    Args:
        shards (`int`): number of corpora, of `KINDS` in turn.
        steps (`int`): optimiser steps.
        learning_rate (`float`): highest learning rate.
    """

    shards: int
    steps: int
    learning_rate: float


@dataclass(frozen=True)
class Plan:
    """Sizes of the corpora and stages of the training.

    Args:
        stages (`tuple[Stage, ...]`): stages of the training; each starts from the weights of the one before.
        preset (`str`): size of the network.
        people, clips (`int`): people and recordings of each training corpus.
        batch_size (`int`): windows per step.
        calibration_people, calibration_clips (`int`): people and recordings of each calibration corpus.
        judged_people, judged_clips (`int`): people and recordings of each judged corpus.
        rows (`tuple[str, ...]`): rows of `benchmarks.windows`; all when empty.
    """

    stages: tuple[Stage, ...] = (Stage(8, 2500, 1e-3), Stage(12, 2500, 1e-3), Stage(12, 2000, 1e-3))
    preset: str = "tiny"
    people: int = 100
    clips: int = 500
    batch_size: int = 32
    calibration_people: int = 24
    calibration_clips: int = 120
    judged_people: int = 26
    judged_clips: int = 130
    rows: tuple[str, ...] = ()


SHORT_PLAN = Plan(
    stages=(Stage(1, 2, 1e-3), Stage(1, 1, 5e-4)),
    people=2,
    clips=6,
    batch_size=4,
    calibration_people=1,
    calibration_clips=4,
    judged_people=2,
    judged_clips=4,
    rows=(TRIMMED, "quiet stretch"),
)


@dataclass(frozen=True)
class Corpus:
    """A rendered corpus: its folder in the work folder and its settings."""

    folder: Path
    settings: CorpusSettings

    def render(self, num_proc: int) -> None:
        """Render the recordings that are missing."""
        write_tree(self.settings, LAYOUTS["synthetic"](), self.folder, num_proc=num_proc)


def corpora(
    root: Path,
    first_seed: int,
    count: int,
    people: int,
    clips: int,
    faces: Path | None,
    kinds: Sequence[tuple[str, str]] = KINDS,
) -> list[Corpus]:
    """Name corpora by seed and kind; without a morphable model, kinds of the built-in faces alone."""
    kinds = [kind for kind in kinds if faces is not None or kind[0] == "built_in"]
    found = []
    for number in range(count):
        family, difficulty = kinds[number % len(kinds)]
        switches = switches_of(difficulty)
        settings = CorpusSettings(
            num_subjects=people,
            num_clips=clips,
            seed=first_seed + number,
            difficulty=difficulty,
            fps=60.0,
            neutral_s=0.355,
            mix=LABEL_SET,
            face_model=str(faces.resolve()) if faces is not None and family == "morphable" else None,
            variations=switches.without("frame_rate") if difficulty == "wild" else switches,
        )
        found.append(Corpus(root / "rendered" / f"{first_seed + number}_{family}_{difficulty}", settings))
    return found


def training_arguments(plan: Plan, number: int, trained_on: Sequence[Corpus], root: Path) -> list[str]:
    """Return the command line of `train.py` for a stage (`list[str]`)."""
    stage = plan.stages[number]
    folders = [str(corpus.folder) for corpus in trained_on[: stage.shards]]
    start = (
        ("--init_from", str(_stage_folder(root, plan, number - 1) / "final")) if number else ("--preset", plan.preset)
    )
    return [
        *("--recipe", "any_window", "--corpus", *["synthetic"] * len(folders), "--data_dir", *folders),
        *("--label_set", LABEL_SET, "--processor_overrides", *CROP, "--protocol", "none", "--final_model"),
        *("--batch_size", str(plan.batch_size), "--max_steps", str(stage.steps)),
        *("--learning_rate", str(stage.learning_rate), *start),
        *("--cache_dir", str(root / "aligned"), "--num_proc", "1"),
        *("--output_dir", str(_stage_folder(root, plan, number))),
    ]


def run_stage(arguments: list[str], processes: int) -> int:
    """Run `train.py` here, or in several processes that share every batch; return its exit code (`int`)."""
    if processes == 1:
        return train(arguments)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    # Without a GPU accelerate joins processes only when told.
    settings = {"ACCELERATE_USE_CPU": str(not torch.cuda.is_available()), **os.environ}
    if sys.platform == "linux":
        # They find each other without a name service.
        settings.setdefault("GLOO_SOCKET_IFNAME", "lo")
    command = [*launch, str(ROOT / "train.py"), *arguments, "--parallelism", "ddp"]
    return subprocess.run(command, env=settings, check=False).returncode


def _stage_folder(root: Path, plan: Plan, number: int) -> Path:
    return root / plan.preset / f"training_{number + 1}"


def recordings_of(
    rendered: Sequence[Corpus], processor: FDPVideoProcessor, class_names: Sequence[str]
) -> list[Recording]:
    """Read whole recordings of several corpora, whose people get the seed before their name."""
    found: list[Recording] = []
    for corpus in rendered:
        rows = get_builder_class("synthetic")(data_dir=corpus.folder, config_name=LABEL_SET).prepare()
        rows = rows.align_labels_with_mapping({name: number for number, name in enumerate(class_names)}, "label")
        for recording in read_recordings(rows, processor):
            recording = Recording(**{**vars(recording), "subject": f"{corpus.settings.seed}-{recording.subject}"})
            found.append(recording)
    return found


def write_checkpoint(source: Path, target: Path, calibration: Calibration, learnt_speech: bool, card: str) -> str:
    """Write a calibrated checkpoint in half precision that loads without this package.

    Args:
        source (`Path`): trained checkpoint.
        target (`Path`): folder; files of the same names are replaced.
        calibration (`Calibration`): stored in its configuration.
        learnt_speech (`bool`): whether people talk in its training corpora; stored as well.
        card (`str`): README.md, with `SHA256` where the digest of the weights belongs.

    Returns:
        `str`: the digest.
    """
    model = FDPForVideoClassification.from_pretrained(source)
    model.config.temperature, model.config.movement_weights = calibration.temperature, calibration.movement_weights
    model.config.learnt_speech = learnt_speech
    model.save_pretrained(target)
    weights = load_file(target / WEIGHTS_NAME)
    # Statistics and biases keep their precision, because they are few and may be large. config.json says float32, so
    # that from_pretrained computes in float32.
    halves = {name: value.half() if value.ndim > 1 else value for name, value in weights.items()}
    # Not by save_file, because it makes its file readable for the owner alone.
    (target / WEIGHTS_NAME).unlink()
    (target / WEIGHTS_NAME).write_bytes(save(halves, metadata={"format": "pt"}))
    FDPVideoProcessor.from_pretrained(source, alignment="auto").save_pretrained(target)
    digest = file_digest(target / WEIGHTS_NAME)
    (target / "README.md").write_text(card.replace("SHA256", digest), encoding="utf-8")
    return digest


def renew_code(folder: Path) -> None:
    """Replace the code that a checkpoint carries by that of this package; weights and settings stay.

    Args:
        folder (`Path`): the checkpoint.
    """
    with TemporaryDirectory() as place:
        FDPForVideoClassification.from_pretrained(folder).save_pretrained(place)
        FDPVideoProcessor.from_pretrained(folder).save_pretrained(place)
        for old in folder.glob("*.py"):
            old.unlink()
        for new in Path(place).glob("*.py"):
            shutil.copyfile(new, folder / new.name)


def _view(
    model: FDPForVideoClassification,
    processor: FDPVideoProcessor,
    recordings: Sequence[Recording],
    rows: Sequence[str],
) -> dict[str, Seen]:
    view = network_view(model, processor)
    return {name: view(clips) for name, clips in disturbed(recordings, rows)}


def _kept(path: Path, made_of: str, make: Callable[[], object]) -> Any:
    """Read a kept result (JSON) if it was made of `made_of`, or make it and keep it."""
    if path.is_file() and (kept := read_json(path))["made_of"] == made_of:
        return kept["result"]
    result = make()
    write_json(path, {"made_of": made_of, "result": result})
    return result


def make_checkpoint(plan: Plan, root: Path, target: Path, faces: Path | None, processes: int, command: str) -> str:
    """Render, train, calibrate, judge and write whatever is not finished; return the digest of the weights (`str`)."""
    shards = max(stage.shards for stage in plan.stages)
    trained_on = corpora(root, TRAINING_SEED, shards, plan.people, plan.clips, faces)
    families = 1 if faces is None else 2
    # On every kind of the training corpora, because what is calibrated on `wild` people alone calls most movements of
    # `medium` people still.
    calibrated_on = corpora(
        root, CALIBRATION_SEED, 2 * families, plan.calibration_people, plan.calibration_clips, faces
    )
    judged_on = corpora(root, JUDGED_SEED, families, plan.judged_people, plan.judged_clips, faces, KINDS[2:])
    for corpus in (*trained_on, *calibrated_on, *judged_on):
        corpus.render(processes)
    for number in range(len(plan.stages)):
        if code := run_stage(training_arguments(plan, number, trained_on, root), processes):
            raise ConfigError(f"every stage must finish, but stage {number + 1} ended with code {code}; see above.")
    source = _stage_folder(root, plan, len(plan.stages) - 1) / "final"
    model = FDPForVideoClassification.from_pretrained(source).eval().use_channels_last()
    processor = FDPVideoProcessor.from_pretrained(source)
    names = [model.config.id2label[number] for number in range(model.config.num_labels)]
    rows = plan.rows or tuple(DISTURBANCES)

    chosen = [row for row in CALIBRATION_ROWS if row in rows]
    further = (*KEPT_ROWS, *MOVING_ROWS, *NOTHING_MOVES)
    wanted = [*chosen, *(row for row in further if row not in chosen and row in rows)]

    def find_calibration() -> dict[str, object]:
        people = recordings_of(calibrated_on, processor, names)
        return asdict(calibrate(_view(model, processor, people, wanted), people, chosen))

    # Names of fields and rows as well, because a result of an earlier version of this file has others.
    weights = f"weights {file_digest(source / WEIGHTS_NAME)}"
    made_of = f"{weights}, {', '.join(entry.name for entry in fields(Calibration))} of {', '.join(wanted)}"
    calibration = Calibration(**_kept(root / plan.preset / "calibration.json", made_of, find_calibration))

    def judge_people() -> dict[str, CardRow]:
        people = recordings_of(judged_on, processor, names)
        return judge(_view(model, processor, people, rows), people, calibration)

    judged_of = f"{weights}, {calibration}, seed {JUDGED_SEED}, {', '.join(rows)}"
    judged = _kept(root / plan.preset / "judged.json", judged_of, judge_people)
    family_of = {
        str(corpus.settings.seed): "built-in" if corpus.settings.face_model is None else "morphable"
        for corpus in judged_on
    }
    classes = get_builder_class("synthetic").get_label_set(LABEL_SET)
    content = {
        "preset": plan.preset,
        "folder": f"checkpoints/fdp-{plan.preset}",
        "classes": ", ".join(names),
        "families": "built-in faces alone" if faces is None else "built-in faces and those of ICT-FaceKit",
        "command": command,
        "training": "\n".join([*(f"- {_people(corpus)};" for corpus in trained_on), *_stages(plan)]),
        "sha256": "SHA256",
        "judged": " ".join(_sentence(corpus) for corpus in judged_on),
        "ceiling": f"{highest_uf1(LABEL_SET, classes.mapping):.2f}",
        "windows_table": windows_table(judged, family_of),
        "temperature": f"{calibration.temperature:g}",
        "calibrated": " and ".join(_people(corpus) for corpus in calibrated_on),
        "calibration_rows": f"{len(CALIBRATION_ROWS)} rows of `benchmarks windows --short`",
        "calibration_table": calibration_table(judged),
        "kept_rows": ", ".join(KEPT_ROWS),
        "lost": f"{100 * calibration.lost:.0f}%",
        "found": f"{100 * calibration.found:.0f}%",
    }
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    card = environment.from_string(CARD.read_text(encoding="utf-8")).render(content)
    learnt_speech = any(corpus.settings.variations.speech for corpus in trained_on)
    return write_checkpoint(source, target, calibration, learnt_speech, card)


def _people(corpus: Corpus) -> str:
    settings = corpus.settings
    kind = "built-in faces" if settings.face_model is None else "faces of ICT-FaceKit"
    return (
        f"{settings.num_clips} recordings of {settings.num_subjects} people ({kind}, `{settings.difficulty}`, seed "
        f"{settings.seed})"
    )


def _stages(plan: Plan) -> list[str]:
    return [
        f"- stage {number}: {stage.steps} steps of {plan.batch_size} windows of the first {stage.shards} corpora, "
        f"learning rate {stage.learning_rate:g}, recipe `any_window`, seed 0."
        for number, stage in enumerate(plan.stages, 1)
    ]


def _sentence(corpus: Corpus) -> str:
    return f"{_people(corpus)}."


def _stage(text: str) -> Stage:
    shards, steps, rate = text.split(":")
    return Stage(int(shards), int(steps), float(rate))


def _words(stages: Sequence[Stage]) -> str:
    return " ".join(f"{stage.shards}:{stage.steps}:{stage.learning_rate:g}" for stage in stages)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and make the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work_dir", type=Path, default=ROOT / "build" / "checkpoint", help="rendered people and run")
    parser.add_argument("--preset", choices=("tiny", "small"), default="tiny", help="size of the network (tiny)")
    parser.add_argument(
        "--output_dir", type=Path, help="the checkpoint (checkpoints/fdp-tiny; fdp-small lies in --work_dir)"
    )
    parser.add_argument("--faces", type=Path, help="folder of an ICT-FaceKit clone")
    parser.add_argument("--built_in_faces", action="store_true", help="render no morphable faces; the card says so")
    parser.add_argument("--processes", type=int, default=1, help="processes that render, and that share a batch (1)")
    parser.add_argument(
        "--stages",
        nargs="+",
        type=_stage,
        default=list(Plan.stages),
        metavar="SHARDS:STEPS:RATE",
        help="corpora, steps and learning rate of each stage of the training",
    )
    parser.add_argument("--short", action="store_true", help="a few clips and two steps, for tests")
    parser.add_argument("--renew_code", action="store_true", help="only replace the code in the checkpoint's folder")
    options = parser.parse_args(arguments)
    shelf = ROOT / "checkpoints" if options.preset == "tiny" else options.work_dir
    target = options.output_dir or shelf / f"fdp-{options.preset}"
    if options.renew_code:
        renew_code(target)
        return 0
    if options.faces is None and not options.built_in_faces:
        raise ConfigError(
            "the checkpoint learns built-in and morphable faces, but --faces is missing; give the folder of an "
            "ICT-FaceKit clone (make checkpoint FACES=FOLDER), or --built_in_faces to render none of them"
        )
    plan = replace(SHORT_PLAN if options.short else Plan(stages=tuple(options.stages)), preset=options.preset)
    torch.set_num_threads(1)
    faces = None if options.built_in_faces else options.faces
    chosen = "" if plan.stages == Plan.stages else " --short" if options.short else f" --stages {_words(plan.stages)}"
    size = "" if plan.preset == Plan.preset else f" --preset {plan.preset}"
    rendered = "--built_in_faces" if faces is None else "--faces FACES"
    # Batch norm sees a part of the batch in each process, so that their number decides the weights.
    shared = "" if options.processes == 1 else f" --processes {options.processes}"
    command = f"python -m tools.make_checkpoint {rendered}{size}{chosen}{shared}"
    digest = make_checkpoint(plan, options.work_dir.resolve(), target, faces, options.processes, command)
    say(f"{target}: weights sha256 {digest}")
    return 0


if __name__ == "__main__":
    run_main(main)
