"""The command `python -m hub_datasets generate`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from hub_datasets.errors import CorpusOptionError
from rendered_faces.errors import RenderingOptionError
from rendered_faces.motion import DIFFICULTIES, MIXED, PUBLISHED_DURATIONS, TIMINGS
from rendered_faces.prototypes import MIXES
from rendered_faces.variations import VARIATION_NAMES, Variations, switches_of

from .layouts import LAYOUTS
from .settings import CorpusSettings
from .tree import write_tree

# Default settings of each layout: frame rate, size (height, width), mix and number of
# clips as `describe casme2` and `describe samm` give them. SAMM's frames are 650x960; half of that renders four times
# faster.
_DEFAULTS = {
    "synthetic": CorpusSettings(),
    "casme2": CorpusSettings(26, 246, 0, (340, 280), "medium", 200.0, (0.12, 0.5), "casme2"),
    "samm": CorpusSettings(29, 159, 0, (325, 480), "medium", 200.0, (0.15, 0.5), "samm"),
}
# Arguments that are settings of the same name.
_PLAIN = (
    "num_subjects", "num_clips", "seed", "difficulty", "mix", "fps", "events_per_recording", "neutral_s", "speech",
    "timing", "durations", "macro_events", "quiet_recordings",
)  # fmt: skip


def add_generate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments; the layout gives the default of those omitted."""
    parser.add_argument(
        "--layout", choices=sorted(LAYOUTS), default="synthetic", help="corpus whose folders and sheets are imitated"
    )
    parser.add_argument(
        "--output_dir", type=Path, required=True, help="an empty folder, or that of an interrupted run"
    )
    parser.add_argument("--num_subjects", type=int, help="identities (synthetic 10, casme2 26, samm 29)")
    parser.add_argument(
        "--num_clips", "--clips", type=int, help="micro-expressions in all (12 a subject; casme2 246, samm 159)"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same corpus (0)")
    parser.add_argument("--difficulty", choices=sorted(DIFFICULTIES), help="motion and nuisance (mild; else medium)")
    parser.add_argument("--mix", choices=sorted(MIXES), help="how often each emotion occurs (the layout's own)")
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="of the frames in pixels")
    parser.add_argument("--fps", type=float, help="frames per second (synthetic 100, else 200)")
    parser.add_argument(
        "--duration_s", type=float, nargs=2, metavar=("SHORTEST", "LONGEST"), help="of the micro-expressions"
    )
    parser.add_argument("--events_per_recording", type=int, help="micro-expressions in one recording (1)")
    parser.add_argument("--neutral_s", type=float, help="mean quiet time around each, seconds (0)")
    parser.add_argument("--speech", action="store_true", help="the subjects talk")
    parser.add_argument("--timing", choices=[*TIMINGS, MIXED], help="course of the events in time (pulse)")
    parser.add_argument(
        "--durations", choices=sorted(PUBLISHED_DURATIONS), help="draw a corpus's published durations instead"
    )
    parser.add_argument("--macro_events", type=int, help="macro-expressions inserted into each recording (0)")
    parser.add_argument("--quiet_recordings", type=int, help="recordings of each subject without an expression (0)")
    parser.add_argument(
        "--variations", nargs="*", metavar="NAME",
        help="variations of recordings (wild: all; else none): " + ", ".join(VARIATION_NAMES),
    )  # fmt: skip
    parser.add_argument("--without", nargs="+", default=[], metavar="NAME", help="variations to leave out")
    parser.add_argument("--face_model", type=Path, help="folder of ICT-FaceKit; the built-in faces when omitted")
    parser.add_argument("--num_proc", type=int, default=1, help="processes that render (1)")


def settings_from_arguments(args: argparse.Namespace) -> CorpusSettings:
    """Return the settings of the arguments.

    Raises:
        CorpusOptionError: one of them is out of its range.
    """
    default = _DEFAULTS[args.layout]
    given: dict[str, Any] = {name: getattr(args, name) for name in _PLAIN if getattr(args, name) is not None}
    if args.num_clips is None:
        num_subjects = given.get("num_subjects", default.num_subjects)
        given["num_clips"] = round(num_subjects * default.num_clips / default.num_subjects)
    if args.size is not None:
        given["size_hw"] = (args.size[0], args.size[1])
    if args.duration_s is not None:
        given["duration_s"] = (args.duration_s[0], args.duration_s[1])
    if args.face_model is not None:
        given["face_model"] = str(args.face_model.expanduser().resolve())
    difficulty = given.get("difficulty", default.difficulty)
    try:
        switches = switches_of(difficulty) if args.variations is None else Variations.only(args.variations)
        left_out = Variations.only(args.without).chosen()
    except RenderingOptionError as error:
        raise CorpusOptionError(str(error)) from error
    if args.layout != "synthetic" and args.variations is None:
        # The sheets of licensed corpora give one frame rate for all recordings.
        left_out = (*left_out, "frame_rate")
    given["variations"] = switches.without(*left_out)
    return replace(default, **given)


def run_generate(args: argparse.Namespace) -> int:
    """Render the corpus of the arguments, and print its folder and the call that loads it.

    Args:
        args (`argparse.Namespace`): as `add_generate_arguments` defines them.

    Returns:
        `int`: the exit code, 0.

    Raises:
        CorpusError: a setting is out of its range, the face model is missing, or the folder cannot be used.
    """
    settings = settings_from_arguments(args)
    root = args.output_dir.expanduser().resolve()
    write_tree(settings, LAYOUTS[args.layout](), root, num_proc=args.num_proc)
    faces = "built-in faces" if settings.face_model is None else "faces of the model"
    sys.stdout.write(
        f"{settings.num_clips} clips of {settings.num_subjects} subjects ({faces}, {settings.difficulty}) are in "
        f"{root}\nread them: load_corpus({args.layout!r}, data_dir={str(root)!r})\n"
    )
    return 0
