"""Cells of coding sheets, read into text, numbers and names; one key or spelling for equivalent texts."""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import SupportsFloat, SupportsIndex

OBJECTIVE_CLASSES = ("I", "II", "III", "IV", "V", "VI", "VII")

# Words that mean the same in every corpus: SAMM has "Other", CASME II "others"; "comtempt" is a misspelling in CASME.
_SAME_EMOTION = {"other": "others", "comtempt": "contempt"}
# Left around a cell's text by spreadsheet programs and copied web pages; `str.strip` keeps them.
_INVISIBLE = "\ufeff\u200b\u200e\u200f\u2060"
# Words before a subject's number that mean "subject".
_SUBJECT_WORDS = frozenset({"s", "sub", "subj", "subject"})


def as_text(cell: object) -> str:
    """Text of a sheet cell, stripped and in composed letters (NFC).

    Args:
        cell (`object`): Any cell.

    Returns:
        `str`: `""` for a blank cell, `"7"` for the float 7.0 that a numeric column yields.
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return unicodedata.normalize("NFC", str(cell)).strip().strip(_INVISIBLE).strip()


def as_frame_number(cell: object) -> int | None:
    """Read a frame number out of a sheet cell.

    Args:
        cell (`object`): int, float, text or blank; '/' and 'MISSING <-426679' occur in real sheets.

    Returns:
        `int` or `None`: the whole number, or `None` where the cell holds none.
    """
    if isinstance(cell, bool):
        return None
    if isinstance(cell, str):
        text = cell.strip()
        if not re.fullmatch(r"-?\d{1,9}(\.0+)?", text):
            return None
        return int(float(text))
    if not isinstance(cell, SupportsFloat | SupportsIndex):
        return None
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    return int(value) if math.isfinite(value) and abs(value) < 2**31 else None


def as_subject_number(cell: object) -> int | None:
    """Read the digits of a subject cell: 1, 1.0, '01', 'sub01' and 's1' are all subject 1."""
    number = as_frame_number(cell)
    if number is not None:
        return number
    digits = re.search(r"\d{1,9}", str(cell))
    return int(digits.group()) if digits else None


def as_objective_class(cell: object) -> str:
    """Roman numeral of an objective (action unit) class, from 1 to 7 or I to VII; '' for anything else."""
    number = as_frame_number(cell)
    if number is not None:
        return OBJECTIVE_CLASSES[number - 1] if 1 <= number <= len(OBJECTIVE_CLASSES) else ""
    text = as_text(cell).upper()
    return text if text in OBJECTIVE_CLASSES else ""


def normalise_emotion(cell: object) -> str:
    """Lower-case an emotion cell, collapse its white space and unify the spellings of 'others' and 'contempt'."""
    word = " ".join(unicodedata.normalize("NFC", str(cell)).strip().lower().split())
    return _SAME_EMOTION.get(word, word)


def name_key(name: str) -> str:
    """Key of a file or folder name, equal for names that differ in letter case or normal form (NFC, NFD) alone.

    macOS decomposes names and ignores letter case, and archives keep its names on other systems.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def word_key(text: str) -> str:
    """Key of a word, equal for spellings that differ in letter case, width, normal form or white space alone."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join("".join(letter for letter in folded if unicodedata.category(letter) != "Cf").split())


def subject_key(text: str) -> str:
    """Key of a person, equal for the spellings of one subject.

    `S01`, `s1`, ` sub01 `, `Subject 1`, `1`, `1.0` and the same in full-width digits share a key: leading
    zeros of numbers and words that mean "subject" are ignored. Other words are not: `p1` and `c1` are two people, as
    are `José` and `Josè`.

    Args:
        text (`str`): A subject as the sheet has it.

    Returns:
        `str`: the key; `""` for a blank cell.
    """
    key = word_key(text)
    # First the digits of any script become those of ASCII, because ".0" is looked for among them.
    key = re.sub(r"\d+", lambda digits: str(int(digits[0])) if len(digits[0]) < 1000 else digits[0], key)
    if whole := re.fullmatch(r"(\d+)\.0", key):
        key = whole[1]
    word = re.fullmatch(r"([^\W\d_]+)[\s._#-]*(\d.*)", key)
    if word is None:
        return key
    return word[2] if word[1] in _SUBJECT_WORDS else word[1] + word[2]


def first_spellings(texts: Iterable[str], key: Callable[[str], str]) -> dict[str, str]:
    """Choose one spelling for texts that share a key.

    Args:
        texts (`Iterable[str]`): Texts in the order of the sheet.
        key (`Callable`): [`word_key`] or [`subject_key`].

    Returns:
        `dict[str, str]`: the first spelling, for every text.
    """
    chosen: dict[str, str] = {}
    return {text: chosen.setdefault(key(text), text) for text in texts}
