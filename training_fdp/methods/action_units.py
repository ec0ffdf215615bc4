"""Coded action units as targets of training."""

from collections.abc import Iterable, Mapping, Sequence

import torch

# The main codes of the Facial Action Coding System: facial movements, without head and eye positions. A fixed list, so
# that it does not depend on held-out subjects.
FACS_CODES = tuple(str(code) for code in (*range(1, 3), *range(4, 8), *range(9, 19), 20, *range(22, 29)))
_COLUMN = {"L": [0], "R": [1]}
_BOTH = [0, 1]


def is_coded(clips: Iterable[Sequence[Mapping[str, object]]]) -> bool:
    """Return whether any clip of a corpus has a coded action unit (`bool`)."""
    return any(len(units) > 0 for units in clips)


def action_unit_targets(clips: Iterable[Sequence[Mapping[str, object]]], codes: Sequence[str]) -> torch.Tensor:
    """Turn coded action units into targets.

    Args:
        clips (`Iterable[Sequence[Mapping]]`): Of each clip its units with `code`, `side` and `alternative`, as the
            rows of a corpus have them.
        codes (`Sequence[str]`): Units, in the order of the targets.

    Returns:
        `torch.FloatTensor` of shape `(num_clips, num_codes, 2)`: left and right; 1 where the unit moved, 0 where not,
        NaN where unknown: in clips without any unit, and where the coder doubted or named an alternative.
    """
    position = {code: index for index, code in enumerate(codes)}
    targets = []
    for units in clips:
        target = torch.full((len(codes), 2), 0.0 if len(units) else torch.nan)
        # Certain units last, so that they overwrite doubtful ones.
        for unit in sorted(units, key=lambda unit: _is_certain(unit, units)):
            if unit["code"] in position:
                sides = _COLUMN.get(str(unit["side"]), _BOTH)
                target[position[unit["code"]], sides] = 1.0 if _is_certain(unit, units) else torch.nan
        targets.append(target)
    return torch.stack(targets)


def _is_certain(unit: Mapping[str, object], units: Sequence[Mapping[str, object]]) -> bool:
    """Whether the unit certainly moved: it has no alternatives, or all of them have its code."""
    options = [other for other in units if other["alternative"] == unit["alternative"]]
    same_code = len(options) > 1 and len({other["code"] for other in options}) == 1
    return not unit["alternative"] or same_code
