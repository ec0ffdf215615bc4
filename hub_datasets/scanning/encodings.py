"""Decode CSV files: Unicode encodings are recognised, any other must be named by the caller."""

import codecs
import re
import unicodedata
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

from hub_datasets.errors import SheetError

# The longer marks first: that of UTF-32 begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Spreadsheet programs save "CSV", unlike "CSV UTF-8", in the code page of the computer's language.
_CODE_PAGES = (
    "cp932", "cp949", "gb18030", "big5", "cp1251", "cp1253", "cp1255", "cp874", "cp1252", "cp1250", "cp1254", "cp1257",
    "cp1256", "koi8_r",
)  # fmt: skip
# Escape sequences that switch the character set; listed, because they are ASCII and so valid UTF-8.
_ISO_2022 = ((b"\x1b$)C", "iso2022_kr"), (b"\x1b$", "iso2022_jp"), (b"\x1b(", "iso2022_jp"))
_WORD = re.compile(rb"[0-9A-Za-z]*[\x80-\xff][0-9A-Za-z@\[\\\]^_`{|}~\x80-\xff]*")
_WORDS_TRIED = 50
_GUESSES_NAMED = 6


def decode_sheet(path: Path, content: bytes, encoding: str | None = None) -> str:
    """Decode a text sheet without guessing.

    Args:
        path (`Path`): Named in errors.
        content (`bytes`): The file.
        encoding (`str`, *optional*): A text encoding of Python; UTF-8, UTF-16 and UTF-32 are recognised when omitted.

    Returns:
        `str`: the text without a byte order mark.

    Raises:
        SheetError: the bytes are in another encoding; the message lists candidates, each with a word that it decodes.
    """
    if encoding is not None:
        try:
            return content.decode(encoding).removeprefix("\ufeff")
        except (LookupError, UnicodeError) as error:
            raise SheetError(
                f"The sheet {path} must be in the encoding that was named, but cannot be read as {encoding} ({error})"
                f"{_could_be(content)}: name another encoding, or save the sheet as CSV UTF-8."
            ) from error
    unicode_form = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), None)
    if unicode_form is None and b"\0" in content:  # a text of 8-bit letters has no zero byte
        unicode_form = "utf-16-le" if content[1::2].count(0) >= content[::2].count(0) else "utf-16-be"
    escaped = next((name for escape, name in _ISO_2022 if escape in content), None)
    try:
        if escaped is None:
            return content.decode(unicode_form or "utf-8")
        guess = f"; it may be {escaped}"
    except UnicodeDecodeError:
        guess = f"; it begins as {unicode_form}, but the rest is not" if unicode_form else _could_be(content)
    raise SheetError(
        f"The sheet {path} must be encoded in UTF-8 or UTF-16, but is in another encoding{guess}: name the right one "
        "by the option encoding (--encoding of `check`), or save the sheet as CSV UTF-8."
    )


def _could_be(content: bytes) -> str:
    """List the code pages in which every non-ASCII word is of one script, each with a word that it decodes."""
    words = list(dict.fromkeys(_WORD.findall(content)))[:_WORDS_TRIED]
    guesses: list[tuple[bool, str]] = []
    for name in _CODE_PAGES:
        try:
            texts = [word.decode(name) for word in words]
        except UnicodeDecodeError:
            continue
        if texts and all(_is_one_script(text) for text in texts):
            guesses.append((any(_is_unusual(text) for text in texts), f"{name} (reads {texts[0][:20]!r})"))
    guesses.sort(key=itemgetter(0))
    named = " or ".join(guess for _, guess in guesses[:_GUESSES_NAMED])
    return f"; it may be {named}" if named else ""


def _is_one_script(text: str) -> bool:
    """Whether a word holds letters of one script alone, and no capital after a small letter."""
    scripts = {unicodedata.name(letter, "").split(" ")[0] for letter in text if letter.isalpha()}
    if scripts <= {"HIRAGANA", "KATAKANA", "CJK"}:
        scripts = {"CJK"}
    has_other_signs = any(not letter.isalnum() and not unicodedata.category(letter).startswith("M") for letter in text)
    capital_inside = any(first.islower() and second.isupper() for first, second in pairwise(text))
    return len(scripts) == 1 and not has_other_signs and not capital_inside


def _is_unusual(text: str) -> bool:
    """Whether a word is all capitals or in half-width letters: possible, but another reading is likelier."""
    return text.isupper() or any(unicodedata.east_asian_width(letter) == "H" for letter in text)
