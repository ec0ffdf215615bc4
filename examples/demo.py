"""Train on rendered faces, save, reload in a new process, and label a clip of a held-out subject.

Run by `make demo`. It fails when the two forms of the clip get different labels, or a wrong one.
"""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
from PIL import Image
from tqdm import tqdm

from hub_datasets import load_corpus

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "runs" / "demo"
OUT = DEMO / "training"
CLIP = DEMO / "unseen_clip"
# At most 4, because a small network does not use more threads.
CORES = min(os.cpu_count() or 1, 4)
# 20 rendered subjects, 12 clips each; three folds, so that every clip is held out once, within minutes.
CORPUS_OPTIONS = {"num_subjects": 20, "render_processes": CORES}
SETTINGS = [
    "--corpus",
    "synthetic",
    "--corpus_options",
    *(f"{name}={value}" for name, value in CORPUS_OPTIONS.items()),
]
SETTINGS += ["--preset", "tiny", "--protocol", "kfold3", "--epochs", "30", "--seed", "0", "--final_model", "false"]
SETTINGS += ["--output_dir", str(OUT)]
# FACS intensities "marked" and stronger.
MARKED = ("C", "D", "E")
# Offline, because everything is made on this machine. OMP_WAIT_POLICY, because spinning threads make a step ten times
# slower when other programs run.
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_WAIT_POLICY": "PASSIVE"}
# Runs a script in a process that cannot import this package, as on a machine with transformers alone.
WITHOUT_PACKAGE = """
import runpy, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("modeling_fdp", "processing_fdp", "hub_datasets", "training_fdp"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def train() -> dict:
    """Run train.py by accelerate, as a user does, and return its results."""
    launch = ["-m", "accelerate.commands.launch", "--num_processes", "1", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    launch += ["--num_cpu_threads_per_process", str(CORES), str(ROOT / "train.py")]
    print(f"$ accelerate launch train.py {shlex.join(SETTINGS)}\n", flush=True)
    finished = subprocess.run([sys.executable, *launch, *SETTINGS], cwd=ROOT, env=ENVIRONMENT)
    if finished.returncode:
        sys.exit(
            f"Training ended with exit code {finished.returncode}; its last lines say why. "
            f"Is {DEMO} of an older version? Delete it and run again."
        )
    return json.loads((OUT / "results.json").read_text(encoding="utf-8"))


def choose_clip(fold: str) -> dict:
    """The first clip, by its id, that a fold holds out and in which an action unit is coded C or stronger.

    C is "marked" in FACS; weaker units may escape a coder. The rule uses the codes of the corpus alone, not the
    predictions of the model.

    Returns:
        The clip's row in the corpus, with the name of its class as `truth`.
    """
    with (OUT / "predictions.csv").open(newline="", encoding="utf-8") as file:
        held_out = {row["clip_id"]: row["label"] for row in csv.DictReader(file) if row["fold"] == fold}
    corpus = load_corpus("synthetic", **CORPUS_OPTIONS)
    for row in sorted(corpus, key=lambda row: row["clip_id"]):
        if row["clip_id"] in held_out and any(unit["intensity"] in MARKED for unit in row["action_units"]):
            return {**row, "truth": held_out[row["clip_id"]]}
    sys.exit(f"No held-out clip of fold {fold} has an action unit that is coded C or stronger.")


def write_clip(row: dict) -> tuple[Path, Path]:
    """Write a clip as a folder of frames and as an .avi file with the same pixels."""
    shutil.rmtree(CLIP, ignore_errors=True)
    folder, video = CLIP / "frames", CLIP / "clip.avi"
    folder.mkdir(parents=True)
    frames = []
    for path in row["frames"]:
        shutil.copy(path, folder)
        with Image.open(path) as image:
            frames.append(np.asarray(image.convert("L")))
    height, width = frames[0].shape
    with av.open(str(video), "w") as container:
        stream = container.add_stream("ffv1", rate=round(row["fps"]), width=width, height=height, pix_fmt="gray")
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return folder, video


def label(checkpoint: Path, clips: tuple[Path, ...]) -> list[dict[str, float]]:
    """Scores by class for each clip, from a new process that imports transformers but not this package."""
    command = [sys.executable, "-c", WITHOUT_PACKAGE, str(ROOT / "examples" / "label_clip.py"), str(checkpoint)]
    command += map(str, clips)
    quiet = {**ENVIRONMENT, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    answers = []
    with (
        subprocess.Popen(command, cwd=CLIP, env=quiet, stdout=subprocess.PIPE, text=True) as process,
        tqdm(total=len(clips), desc="a new process loads the checkpoint and labels", unit="clip") as progress,
    ):
        for line in process.stdout:
            answers.append({item["label"]: item["score"] for item in json.loads(line)["scores"]})
            progress.update()
    if process.returncode:
        sys.exit(f"Labelling ended with exit code {process.returncode}; its last lines say why.")
    return answers


def main() -> int:
    """Train, reload in a new process, label, and print the files made."""
    results = train()
    fold = results["folds"][-1]["fold"]
    checkpoint = OUT / "folds" / fold
    chosen = choose_clip(fold)
    clips = write_clip(chosen)
    units = "+".join(unit["side"] + unit["code"] + unit["intensity"] for unit in chosen["action_units"])
    print(
        f"\nUnseen: {chosen['clip_id']} (action units {units}), held out from {checkpoint.name}.",
        flush=True,
    )
    answers = label(checkpoint, clips)
    best = [max(scores, key=scores.__getitem__) for scores in answers]
    for clip, scores, name in zip(clips, answers, best, strict=True):
        kind = "folder of frames" if clip.is_dir() else ".avi file"
        print(f"  as {kind:<16} -> {name} ({scores[name]:.3f})")
    print(f"  the truth           -> {chosen['truth']}")
    same = len(set(best)) == 1 and np.allclose(*([scores[name] for name in sorted(scores)] for scores in answers))
    right = best[0] == chosen["truth"]
    metrics, chance = results["metrics"], results["chance"]["majority"]
    print(
        f"""
Held-out subjects (rendered faces): UF1 {metrics["uf1"]:.3f}, accuracy {metrics["accuracy"]:.3f};
chance, always answering '{results["majority_class"]}': UF1 {chance["uf1"]:.3f}, accuracy {chance["accuracy"]:.3f}.

Made:  {OUT / "results.json"}  pooled metrics
       {OUT / "confusion_matrix.png"}
       {checkpoint}  the last fold's checkpoint, in Hub format
       {CLIP}  the unseen clip, as frames and as .avi
Next:  .venv/bin/python predict.py CLIP_OR_FOLDER --model {shlex.quote(str(checkpoint))}
       .venv/bin/python push_to_hub.py --checkpoint {shlex.quote(str(checkpoint))} --repo_id YOU/NAME --dry_run
       .venv/bin/accelerate launch train.py --corpus casme2 --data_dir YOUR_CASME2 --output_dir runs/casme2"""
    )
    if not same:
        print("\nFAILED: the two forms of the clip got different answers.", file=sys.stderr)
    if not right:
        print("\nFAILED: the label of the unseen clip is wrong.", file=sys.stderr)
    return 0 if same and right else 1


if __name__ == "__main__":
    sys.exit(main())
