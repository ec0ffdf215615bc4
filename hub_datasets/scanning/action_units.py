"""Action units: the free text of a coding sheet, read into codes, sides, intensities and alternatives.

Coders write action units (AUs) of the Facial Action Coding System by hand: ``L12``, ``7B``, ``A/L12``,
``(R6 or R12) + R15``, ``ref(7B)+43``, ``R14+17+soft focus``, ``4,7,``. [`parse_action_units`] never raises, because an
unreadable cell must not cost a clip: pieces that it cannot read or leaves out are listed in `ignored`, the cell itself
is `raw`.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from hub_datasets.scanning.cells import as_text

# FACS writes sides before the number: Left, Right, Top, Bottom, Asymmetric (SAMM's key, the field's usage elsewhere).
_SIDE = r"[LRTBA]{1,2}(?:\s*/\s*[LRTBA]{1,2})*"
_UNIT = re.compile(
    rf"(?:(?<![A-Z])(?P<side>{_SIDE})\s*)?"
    r"(?:(?<![A-Z])(?P<kind>AD|AU|M)\s*|(?<=[LRTB])(?P<sided_kind>AD|AU|M)\s*)?"
    r"(?<![0-9])(?P<number>[0-9]+)"
    r"(?P<intensity>[A-E](?:\s*/\s*[A-E])*(?![A-Z0-9]))?"
    r"(?P<doubt>\s*\?)?"
)
# Reference units (shown before the movement) and kept, unchanging units are not part of the movement.
_NOT_MOVED = re.compile(r"ref\s*\([^()]*\)|[LRTBA]{0,2}[0-9]+[A-E]?\s*\(\s*k\s*\)", re.IGNORECASE)
_SLASH_BETWEEN_UNITS = re.compile(r"(?<=[0-9])([A-E]?)\s*/\s*(?=[LRTBA]{0,2}(?:AD|AU|M)?[0-9])")
_OR = re.compile(r"(?<![A-Z])OR(?![A-Z])")
_JOINERS = frozenset("+,;&、")
_LARGEST_CODE = 99


@dataclass(frozen=True)
class ActionUnit:
    """One action unit of one clip.

    Attributes:
        code (`str`): FACS number (``"12"``), action descriptor (``"AD31"``) or head and eye code (``"M57"``).
        side (`str`): ``"L"``, ``"R"``, ``"T"`` (top), ``"B"`` (bottom), ``"A"`` (asymmetric), two of them, or ``""``.
        intensity (`str`): ``"A"`` (trace) to ``"E"`` (maximum), or ``""`` where it was not coded.
        alternative (`int`): 0 for a certain unit. Units that share a positive number are one coder's alternatives
            (``R6 or R12``); a unit alone with its number is one that the coder doubted (``12?``).
    """

    code: str
    side: str = ""
    intensity: str = ""
    alternative: int = 0


@dataclass(frozen=True)
class ActionUnitReading:
    """A coding cell, read.

    Attributes:
        units (`tuple[ActionUnit, ...]`): the units in the order of the cell.
        raw (`str`): the cell as the sheet has it, stripped and in composed letters (NFC).
        ignored (`tuple[str, ...]`): pieces that became no unit: references, kept units, remarks, lone question marks.
    """

    units: tuple[ActionUnit, ...]
    raw: str
    ignored: tuple[str, ...] = ()

    def as_rows(self) -> list[dict[str, str | int]]:
        """Return the units as a clip row holds them: dictionaries of code, side, intensity and alternative."""
        return [asdict(unit) for unit in self.units]


def parse_action_units(cell: object) -> ActionUnitReading:
    """Read the action units of one sheet cell; never raises.

    Args:
        cell (`object`): content of the cell: text, an integer for a single unit, or nothing.

    Returns:
        `ActionUnitReading`: units, the raw text and the ignored pieces.
    """
    raw = as_text(cell)
    text = unicodedata.normalize("NFKC", raw)  # full-width commas, plus signs and digits become plain ones
    ignored = [match.group(0).strip() for match in _NOT_MOVED.finditer(text)]
    text = _SLASH_BETWEEN_UNITS.sub(r"\1 OR ", _NOT_MOVED.sub(" ", text).upper())
    units: list[ActionUnit] = []
    group = 0
    for term in _split_terms(text):
        options = _OR.split(term)
        read, left_over = _read_term(options)
        ignored.extend(left_over)
        uncertain = len(options) > 1 and sum(bool(units_of_option) for units_of_option in read) > 1
        shared_group = group + 1 if uncertain else 0
        group = max(group, shared_group)
        for candidates, doubted in (unit for units_of_option in read for unit in units_of_option):
            alternative = shared_group
            if not alternative and (doubted or len(candidates) > 1):
                group += 1
                alternative = group
            units.extend(ActionUnit(*candidate, alternative=alternative) for candidate in candidates)
    return ActionUnitReading(tuple(units), raw, tuple(piece for piece in ignored if piece))


def _split_terms(text: str) -> Iterator[str]:
    """Yield the terms between joiners, which do not split parentheses: ``(6+12) OR 14`` is one term."""
    depth, start = 0, 0
    for position, character in enumerate(text):
        if character == "(":
            depth += 1
        elif character == ")":
            depth = max(0, depth - 1)
        elif character in _JOINERS and depth == 0:
            yield text[start:position]
            start = position + 1
    yield text[start:]


_Candidates = list[tuple[str, str, str]]


def _read_term(options: list[str]) -> tuple[list[list[tuple[_Candidates, bool]]], list[str]]:
    """Read each option of a term into units, a unit being its candidates (code, side, intensity) and a doubt."""
    read, left_over = [], []
    for option in options:
        option_units: list[tuple[_Candidates, bool]] = []
        for match in _UNIT.finditer(option):
            number = match["number"].lstrip("0")
            if not number or len(number) > len(str(_LARGEST_CODE)):
                left_over.append(match.group(0).strip())
                continue
            kind = (match["kind"] or match["sided_kind"] or "").replace("AU", "")
            sides = re.split(r"\s*/\s*", match["side"] or "")
            intensities = re.split(r"\s*/\s*", match["intensity"] or "")
            candidates = [(kind + number, side, intensity) for side in sides for intensity in intensities]
            option_units.append((candidates, match["doubt"] is not None))
        read.append(option_units)
        remark = " ".join(_UNIT.sub(" ", option).replace("(", " ").replace(")", " ").split())
        if remark not in {"", "/"}:
            left_over.append(remark.lower())
    return read, left_over
