"""Sets of action units as text and as numbers: the names that the Facial Action Coding System gives them.

A set is a tensor `(num_action_units, 2)`, left and right half of the face, 1 where the unit moves; a unit that moves
on both sides has two ones. As text it is either codes (`"1+2+L12"`) or phrases (`"inner brow raiser and left lip
corner puller"`); sides are the subject's own.
"""

import re
from collections.abc import Iterable, Sequence

import torch

SIDES = ("left", "right")
# Text of the empty set, in codes and in words.
NO_UNIT, NO_UNIT_PHRASE = "0", "no movement"
# Number of texts of one unit: left, right, both sides.
SIDES_PER_UNIT = 3
_SEPARATOR = re.compile(r"\s*(?:\+|,|;|\band\b)\s*", re.IGNORECASE)
_CODE = re.compile(r"(?P<side>[LR]?)\s*(?:AU)?\s*(?P<code>[0-9]+)", re.IGNORECASE)


def parse_units(text: str, action_units: Sequence[str], phrases: Sequence[str]) -> torch.Tensor:
    """Reads a set of action units.

    Args:
        text (`str`): codes or phrases joined by `+`, `,`, `;` or `and`; `"0"` or `"no movement"` for none.
        action_units (`Sequence[str]`): FACS codes, in the order of the set.
        phrases (`Sequence[str]`): one phrase per code.

    Returns:
        `torch.FloatTensor` of shape `(num_action_units, 2)`: 0 or 1.

    Raises:
        ValueError: a part is neither one of these codes nor one of these phrases.
    """
    units = torch.zeros(len(action_units), 2)
    by_phrase = {phrase.lower(): place for place, phrase in enumerate(phrases)}
    by_code = {code: place for place, code in enumerate(action_units)}
    for part in _SEPARATOR.split(text.strip()):
        words = " ".join(part.split()).lower()
        if words in (NO_UNIT, NO_UNIT_PHRASE):
            continue
        side, place = _find(words, by_code, by_phrase)
        if place is None:
            known = ", ".join(f"{code} ({phrase})" for code, phrase in zip(action_units, phrases, strict=True))
            raise ValueError(
                f"A set of action units must consist of known codes or phrases, but {part.strip()!r} was given in "
                f"{text!r}; choose among {known}, with left or right before a phrase and L or R before a code."
            )
        if side is None:
            units[place] = 1
        else:
            units[place, side] = 1
    return units


def _find(words: str, by_code: dict[str, int], by_phrase: dict[str, int]) -> tuple[int | None, int | None]:
    """Side (0 left, 1 right, `None` both) and place of one unit; the place is `None` where it is unknown."""
    if match := _CODE.fullmatch(words):
        side = {"l": 0, "r": 1}.get(match["side"].lower())
        return side, by_code.get(match["code"])
    for side, name in enumerate(SIDES):
        if words.startswith(f"{name} ") and words not in by_phrase:
            return side, by_phrase.get(words.removeprefix(f"{name} "))
    return None, by_phrase.get(words)


def parse_sets(texts: Iterable[str], action_units: Sequence[str], phrases: Sequence[str]) -> torch.Tensor:
    """Reads several sets: `torch.FloatTensor` of shape `(num_sets, num_action_units, 2)`, see `parse_units`."""
    sets = [parse_units(text, action_units, phrases) for text in texts]
    return torch.stack(sets) if sets else torch.zeros(0, len(action_units), 2)


def spelled(units: torch.Tensor, action_units: Sequence[str]) -> str:
    """Writes a set in codes.

    Args:
        units (`torch.Tensor` of shape `(num_action_units, 2)`): moved where above 0.5; NaN counts as not moved.
        action_units (`Sequence[str]`): FACS codes, in the order of the set.

    Returns:
        `str`: such as `"1+2+L12"`, in that order; `"0"` for none. `parse_units` reads it.
    """
    names = []
    for code, (left, right) in zip(action_units, (units > 0.5).tolist(), strict=True):
        if left or right:
            names.append(f"{'' if left and right else 'L' if left else 'R'}{code}")
    return "+".join(names) or NO_UNIT


def phrase_of(units: torch.Tensor, phrases: Sequence[str]) -> str:
    """Writes a set in words: `"inner brow raiser , left dimpler"`; `"no movement"` for none.

    Commas are surrounded by spaces, because the tokenizer of the phrases splits texts at spaces.
    """
    names = []
    for phrase, (left, right) in zip(phrases, (units > 0.5).tolist(), strict=True):
        if left or right:
            names.append(phrase if left and right else f"{SIDES[int(right)]} {phrase}")
    return " , ".join(names) or NO_UNIT_PHRASE


def all_phrases(phrases: Sequence[str]) -> list[str]:
    """Every text of one unit, in the order of `unit_texts`: left, right and both of each unit, then none at all."""
    sided = [text for phrase in phrases for text in (*(f"{side} {phrase}" for side in SIDES), phrase)]
    return [*sided, NO_UNIT_PHRASE]


def unit_texts(sets: torch.Tensor) -> torch.Tensor:
    """Marks the texts of `all_phrases` that make up each set.

    Args:
        sets (`torch.Tensor` of shape `(num_sets, num_action_units, 2)`): sets of 0 and 1.

    Returns:
        `torch.Tensor` of shape `(num_sets, 3 * num_action_units + 1)`: 0 or 1.
    """
    left, right = sets.unbind(-1)
    parts = torch.stack([left * (1 - right), right * (1 - left), left * right], dim=-1)
    none = 1 - sets.flatten(1).amax(1, keepdim=True)
    return torch.cat([parts.flatten(1), none], dim=1)


def set_similarity(sets: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Jaccard similarity of sets of sided units: units in common over units in either.

    A unit that is unknown (NaN) in a set is left out of both counts. Two empty sets are equal.

    Args:
        sets (`torch.FloatTensor` of shape `(batch_size, num_action_units, 2)`): 0, 1 or NaN.
        others (`torch.FloatTensor` of shape `(num_sets, num_action_units, 2)`): 0 or 1.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_sets)`: in [0, 1]; NaN for a set of which nothing is known.
    """
    known = ~sets.isnan()
    ours, theirs = sets.nan_to_num()[:, None], others[None]
    common = (torch.minimum(ours, theirs) * known[:, None]).flatten(2).sum(-1)
    either = (torch.maximum(ours, theirs) * known[:, None]).flatten(2).sum(-1)
    similarity = torch.where(either > 0, common / either.clamp(min=1), torch.ones_like(common))
    return similarity.masked_fill(~known.flatten(1).any(1)[:, None], float("nan"))
