"""Action units of each emotion, with the ambiguities of the corpora."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from .faces import ACTION_UNITS, MIDLINE_ACTION_UNITS

# Combinations per emotion with their weights. The combinations are those of the FACS investigator's guide as the
# coding sheets of CASME II and SAMM use them; the weights are our choice. Emotions share units and, on purpose, some
# whole combinations (4+7, 14, 15+17, 17+24, 20, 23): as in the field's corpora, so that no classifier can be perfect.
PROTOTYPES: dict[str, tuple[tuple[float, str], ...]] = {
    "happiness": ((4, "12"), (4, "6+12"), (1, "6+7+12"), (1, "12+25"), (1, "L12"), (1, "R12")),
    "surprise": ((4, "1+2"), (3, "1+2+5"), (2, "1+2+25"), (1, "1+2+5+26"), (1, "5+25"), (1, "2")),
    "disgust": ((2, "9"), (2, "10"), (3, "4+9"), (2, "4+7+9"), (3, "4+7+10"), (1, "7+10"), (1, "9+17"), (1, "4+7")),
    "repression": ((3, "17"), (2, "15"), (2, "14"), (3, "12+17"), (2, "15+17"), (1, "24"), (1, "17+24"), (1, "12+15")),
    "others": ((5, "4"), (3, "4+7"), (1, "7"), (2, "14"), (1, "L14"), (1, "R14"), (1, "20"), (1, "23"), (1, "4+14")),
    "sadness": ((2, "1"), (3, "1+4"), (2, "1+4+15"), (2, "15+17"), (2, "1+15"), (1, "6+15")),
    "fear": ((2, "1+2+4"), (2, "20"), (2, "1+4+20"), (1, "1+2+4+5"), (1, "5+20"), (1, "20+25")),
    "anger": ((3, "4+5+7"), (3, "4+7"), (2, "4+7+23"), (2, "23"), (2, "4+7+24"), (1, "17+24")),
    "contempt": ((2, "L14"), (2, "R14"), (1, "L12+L14"), (1, "R12+R14"), (1, "14")),
}

# Relative frequency of each emotion in a corpus.
MIXES: dict[str, dict[str, float]] = {
    # A third of the clips for each of negative, positive and surprise.
    "3class": {
        "happiness": 9, "surprise": 9, "disgust": 3, "anger": 2,
        "repression": 1, "sadness": 1, "fear": 1, "contempt": 1,
    },
    "5class": {"happiness": 1, "disgust": 1, "repression": 1, "surprise": 1, "others": 1},
    # A quarter of the clips for each of negative, positive, surprise and others.
    "4class": {
        "happiness": 6, "surprise": 6, "others": 6,
        "disgust": 1, "repression": 1, "sadness": 1, "fear": 1, "anger": 1, "contempt": 1,
    },
    "9class": dict.fromkeys(PROTOTYPES, 1),
    # Frequencies in the sheets of CASME II and SAMM.
    "casme2": {"others": 99, "disgust": 63, "happiness": 32, "repression": 27, "surprise": 25},
    "samm": {
        "anger": 57, "happiness": 26, "others": 26, "surprise": 15,
        "contempt": 12, "disgust": 9, "fear": 8, "sadness": 6,
    },
}  # fmt: skip

_UNIT = re.compile(r"([LR]?)(\d+)")


def parse_combination(text: str) -> list[tuple[int, str]]:
    """Read a combination such as `"6+L12"`.

    Args:
        text (`str`): FACS numbers joined by `+`, each with `L` or `R` before it where only one side moves.

    Returns:
        `list` of `(code, side)`: side is `""` for both.

    Raises:
        ValueError: a part cannot be read, or is not in `ACTION_UNITS`.
    """
    units = []
    for part in text.split("+"):
        match = _UNIT.fullmatch(part.strip().upper())
        if match is None or int(match[2]) not in ACTION_UNITS:
            known = ", ".join(str(code) for code in ACTION_UNITS)
            raise ValueError(
                f"action units are numbers joined by '+', with L or R before a number for one side, but {part!r} was "
                f"given in {text!r}: the faces have {known}."
            )
        units.append((int(match[2]), "" if int(match[2]) in MIDLINE_ACTION_UNITS else match[1]))
    return units


def draw_combination(rng: np.random.Generator, emotion: str) -> str:
    """Return one of the emotion's combinations by its weight.

    Raises:
        ValueError: the emotion has no prototype.
    """
    if emotion not in PROTOTYPES:
        raise ValueError(
            f"an emotion must be one of {', '.join(PROTOTYPES)}, but {emotion!r} was given: choose one of them."
        )
    weights = np.array([weight for weight, _ in PROTOTYPES[emotion]], float)
    return PROTOTYPES[emotion][int(rng.choice(len(weights), p=weights / weights.sum()))][1]


def highest_uf1(mix: str, class_of: Mapping[str, str]) -> float:
    """UF1 of the most probable class given the action units, sides aside: what exact action units would reach.

    Args:
        mix (`str`): a key of `MIXES`.
        class_of (`Mapping[str, str]`): the class of every emotion of the mix.

    Returns:
        `float`: 1 where no combination belongs to two classes; our choice as the ceiling of a rendered table.
    """
    total = sum(MIXES[mix].values())
    joint: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for emotion, frequency in MIXES[mix].items():
        weights = sum(weight for weight, _ in PROTOTYPES[emotion])
        for weight, combination in PROTOTYPES[emotion]:
            units = _UNIT.sub(r"\2", combination)
            joint[units][class_of[emotion]] += frequency / total * weight / weights
    true, guessed, right = (defaultdict[str, float](float) for _ in range(3))
    for shares in joint.values():
        best = max(shares, key=shares.__getitem__)
        for name, share in shares.items():
            true[name] += share
        guessed[best] += sum(shares.values())
        right[best] += shares[best]
    return float(np.mean([2 * right[name] / (true[name] + guessed[name]) for name in true]))


def deal_emotions(rng: np.random.Generator, num_clips: int, mix: str) -> list[str]:
    """Return one emotion per clip, in exact proportion and random order.

    Args:
        rng (`np.random.Generator`): draws the order.
        num_clips (`int`): number of clips.
        mix (`str`): a key of `MIXES`.

    Returns:
        `list[str]`: emotions, of length `num_clips`.
    """
    shares = np.array(list(MIXES[mix].values()), float)
    exact = num_clips * shares / shares.sum()
    counts = np.floor(exact).astype(int)
    # Clips left over by rounding go to the largest remainders.
    counts[np.argsort(counts - exact, kind="stable")[: num_clips - counts.sum()]] += 1
    return [str(emotion) for emotion in rng.permutation(np.repeat(list(MIXES[mix]), counts))]
