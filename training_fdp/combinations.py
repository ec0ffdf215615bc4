"""`python -m training_fdp.combinations`: find clips by combinations of action units that were never trained.

Some combinations are held out whose single units are all trained in others. Every fold learns from clips of its
training subjects without them, and its held-out subjects' clips are ranked by each. The same is asked of MER-CLIP's
alignment and of FDP's action-unit head, whose scores of single units give a combination its likelihood.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.markdown import markdown_table, write_block
from evaluation_fdp.protocols import Fold
from modeling_fdp.action_unit_phrases_fdp import parse_sets, spelled
from training_fdp.cli import run_main, say
from training_fdp.config import parse_train_config
from training_fdp.data.batches import chunks
from training_fdp.folds.fold import FoldTrainer, TrainedFold
from training_fdp.folds.loop import FoldContext
from training_fdp.methods.action_units import FACS_CODES, action_unit_targets
from training_fdp.runs.engine import build_accelerator
from training_fdp.runs.prepare import PreparedRun, prepare_run
from training_fdp.runs.run import fold_context

# Least number of clips that show a held-out combination.
LEAST_CLIPS = 3
# How many first ranks are counted.
RANKS = (1, 5)


@dataclass(frozen=True)
class Retrieval:
    """How well clips were found by combinations, or combinations by clips.

    Args:
        num_queries (`int`): Rankings that were made.
        found (`tuple[float, ...]`): Share of them with a right answer among the first 1 and 5.
        chance (`tuple[float, ...]`): The same of a random order.
    """

    num_queries: int
    found: tuple[float, ...]
    chance: tuple[float, ...]


def unsided(text: str) -> str:
    """Return a set in codes without sides (`str`), because the action-unit head knows none: `"L12+6"` -> `"6+12"`."""
    codes = {part.lstrip("LR") for part in text.split("+")}
    return "+".join(sorted(codes, key=int))


def choose_combinations(sets: Sequence[str | None], count: int, seed: int) -> list[str]:
    """Choose combinations to hold out, so that each of their units stays in another one.

    Args:
        sets (`Sequence[str]`): Of every clip its units in codes without sides; `None` where it is not coded.
        count (`int`): How many.
        seed (`int`): Seed of the choice.

    Returns:
        `list[str]`: Of two units or more, each shown by three clips or more, sorted.

    Raises:
        ConfigError: fewer than `count` combinations fulfil this.
    """
    clips = Counter(text for text in sets if text is not None)
    candidates = sorted(text for text, number in clips.items() if "+" in text and number >= LEAST_CLIPS)
    kept = set(clips)
    chosen: list[str] = []
    for place in np.random.default_rng(seed).permutation(len(candidates)):
        text = candidates[place]
        units = set(text.split("+"))
        rest = [other for other in kept if other != text]
        trained = {unit for other in rest for unit in other.split("+")}
        # A unit of an earlier choice must not lose its last combination either.
        needed = units | {unit for earlier in chosen for unit in earlier.split("+")}
        if needed <= trained:
            chosen.append(text)
            kept.remove(text)
        if len(chosen) == count:
            return sorted(chosen)
    raise ConfigError(
        f"{count} combinations of action units are to be held out, of two units that other combinations show too and "
        f"in {LEAST_CLIPS} clips each, but the corpus has {len(chosen)}; lower --held_out or take a larger corpus"
    )


def without(fold: Fold, sets: Sequence[str | None], held_out: Sequence[str]) -> Fold:
    """Return the fold (`Fold`) without training clips of the held-out combinations."""
    kept = tuple(row for row in fold.train_indices if sets[row] not in held_out)
    return replace(fold, train_indices=kept)


def set_scores(model: Any, pixel_values: torch.Tensor, sided: Sequence[str], names: Sequence[str]) -> torch.Tensor:
    """Score combinations for clips, by the alignment or by the action-unit head.

    Args:
        model (`PreTrainedModel`): In evaluation mode.
        pixel_values (`torch.FloatTensor`): Clips.
        sided (`Sequence[str]`): All sets of the corpus, with sides.
        names (`Sequence[str]`): The combinations, without.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_names)`: The alignment's largest similarity with any set of
        these units, on either side; or the logarithm of the likelihood that these units moved and no other.
    """
    if hasattr(model, "get_text_features"):
        similarity = model(pixel_values, action_unit_sets=model.action_unit_sets(sided)).logits_per_video
        groups = [[at for at, text in enumerate(sided) if unsided(text) == name] for name in names]
        return torch.stack([similarity[:, group].amax(1) for group in groups], dim=1)
    logits = model(pixel_values).action_unit_logits.float()
    moved = parse_sets(names, FACS_CODES, FACS_CODES).amax(-1).to(logits)
    moved = moved[:, [FACS_CODES.index(code) for code in model.config.action_units]]
    # log p of moved units + log (1 - p) of the others = sum of moved logits - a constant of the clip.
    log_moved, log_still = torch.nn.functional.logsigmoid(logits), torch.nn.functional.logsigmoid(-logits)
    return log_moved @ moved.T + log_still @ (1 - moved).T


def first_hits(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[list[bool], list[float]]:
    """Tell whether a right answer is among the first of one ranking, and how often it would be by chance.

    Args:
        scores (`np.ndarray` of shape `(num_answers,)`): Higher is better; ties count against the right answer.
        right (`np.ndarray` of shape `(num_answers,)`): Which answers are right, one or more.

    Returns:
        `(found, chance)`: One entry per number of `RANKS`.
    """
    rank = int((scores[~right] >= scores[right].max()).sum()) + 1
    total, wrong = len(scores), int((~right).sum())
    chance = [1 - comb(wrong, k) / comb(total, k) if k <= total else 1.0 for k in RANKS]
    return [rank <= k for k in RANKS], chance


def pooled(hits: Sequence[tuple[list[bool], list[float]]]) -> Retrieval:
    """Average rankings (`Retrieval`)."""
    found, chance = (np.array([hit[part] for hit in hits], dtype=np.float64).mean(axis=0) for part in (0, 1))
    return Retrieval(len(hits), tuple(found.tolist()), tuple(chance.tolist()))


def clip_sets(prepared: PreparedRun) -> list[str | None]:
    """Return the units of every clip in codes, with sides (`list[str]`); `None` where the clip is not coded."""
    coded = [prepared.clips[row].action_units for row in range(len(prepared.clips))]
    targets = action_unit_targets(coded, FACS_CODES)
    return [spelled(units, FACS_CODES) if len(cell) else None for cell, units in zip(coded, targets, strict=True)]


def measure(arguments: Sequence[str], method: str, count: int) -> tuple[list[str], Retrieval, Retrieval]:
    """Train one method without some combinations, and retrieve these.

    Args:
        arguments (`Sequence[str]`): Options of `train.py` but `--method`.
        method (`str`): Its name.
        count (`int`): Combinations to hold out.

    Returns:
        `(held_out, clips, combinations)`: The combinations; clips of held-out subjects ranked by each of them; and all
        combinations ranked for each clip that shows a held-out one.

    Raises:
        ConfigError: a method without scores of action units, or too few combinations.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = parse_train_config([*arguments, "--method", method, "--output_dir", folder])
        prepared = prepare_run(config, build_accelerator(config.training, config.run))
        sets = clip_sets(prepared)
        sided = sorted({text for text in sets if text is not None})
        plain = [None if text is None else unsided(text) for text in sets]
        names = sorted({text for text in plain if text is not None})
        seed = config.protocol.seed
        held_out = choose_combinations(plain, count, seed)
        prepared.method.prepare(prepared.clips, prepared.network, prepared.processor)
        context = fold_context(prepared, "combinations", lambda *_: None)
        by_text: list[tuple[list[bool], list[float]]] = []
        by_clip: list[tuple[list[bool], list[float]]] = []
        for fold in prepared.folds:
            key = fold.fold_id
            trainer = FoldTrainer(context, without(fold, plain, held_out), seed, key, Path(folder) / key)
            trained = trainer.train()
            rows = [row for row in fold.test_indices if plain[row] is not None]
            scores = _scores(context, trained, rows, sided, names)
            truth = np.array([plain[row] for row in rows])
            for name in held_out:
                if (truth == name).any():
                    by_text.append(first_hits(scores[:, names.index(name)], truth == name))
            for row, name in zip(scores, truth, strict=True):
                if name in held_out:
                    by_clip.append(first_hits(row, np.array(names) == name))
    return held_out, pooled(by_text), pooled(by_clip)


@torch.no_grad()
def _scores(
    context: FoldContext, trained: TrainedFold, rows: Sequence[int], sided: Sequence[str], names: Sequence[str]
) -> NDArray[np.float64]:
    model = trained.model.eval()
    if not hasattr(model, "get_text_features") and not getattr(model.config, "action_units", None):
        raise ConfigError(
            f"--methods {context.method.name} scores no action units, so it finds no combination; name mer_clip or fdp"
        )
    parts = []
    for chunk in chunks(rows, context.options.eval_batch_size):
        pixels = context.batches.load(chunk, trained.statistics)["pixel_values"]
        parts.append(set_scores(model, pixels, sided, names).cpu().double().numpy())
    return np.concatenate(parts)


def main() -> int:
    """Read the command line and run it; returns the exit code (`int`)."""
    parser = argparse.ArgumentParser(
        prog="python -m training_fdp.combinations",
        description="Hold out combinations of action units and find clips by them. Every other option is one of "
        "train.py (--corpus, --data_dir, --protocol kfold3, --epochs, --seed, ...).",
        allow_abbrev=False,
    )
    parser.add_argument("--methods", nargs="+", default=["mer_clip", "fdp"], metavar="NAME", help="mer_clip, fdp")
    parser.add_argument("--held_out", type=int, default=5, metavar="N", help="combinations to hold out; default: 5")
    parser.add_argument("--docs", type=Path, help="Markdown file whose block `combinations` is replaced by the table")
    options, rest = parser.parse_known_args()
    rows: list[tuple[str, ...]] = []
    for method in options.methods:
        held_out, clips, combinations = measure(rest, method, options.held_out)
        rows.append((method, *(_share(value) for value in (*clips.found, *combinations.found))))
        say(" ".join(rows[-1]))  # at once, because the next method takes as long
        chance = ("chance", *(_share(value) for value in (*clips.chance, *combinations.chance)))
    header = ("method", "clip at 1", "clip at 5", "combination at 1", "combination at 5")
    table = markdown_table(header, [*rows, chance])
    say(f"held out: {', '.join(held_out)}; {clips.num_queries} rankings of clips, {combinations.num_queries} of sets")
    say(table)
    if options.docs is not None:
        write_block(options.docs, "combinations", table)
    return 0


def _share(value: float) -> str:
    return f"{value:.3f}"


if __name__ == "__main__":
    run_main(main)
