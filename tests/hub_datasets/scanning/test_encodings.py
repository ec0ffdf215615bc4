"""Text sheets in every encoding: read right, or refused by a sentence that names the encoding; never misread."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_datasets.errors import SheetError
from hub_datasets.scanning.encodings import decode_sheet
from hub_datasets.scanning.sheets import read_sheet

PATH = Path("clips.csv")
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-32")
# Code page of a computer's language, and words for joy and fear in it.
LANGUAGES = {
    "cp932": ("喜び", "恐れ", "ヨロコビ"),
    "cp949": ("기쁨", "두려움"),
    "gb18030": ("高兴", "恐惧"),
    "big5": ("高興", "恐懼"),
    "cp1251": ("радость", "страх"),
    "koi8_r": ("радость", "страх"),
    "cp1253": ("χαρά", "φόβος"),
    "cp1255": ("שמחה", "פחד"),
    "cp1256": ("فرح", "خوف"),
    "cp874": ("ความสุข", "กลัว"),
    "cp1250": ("radość", "złość"),
    "cp1252": ("dégoût", "gêne"),
    "cp1254": ("kızgın", "şaşkın"),
    "cp1257": ("džiaugsmas", "liūdesys"),
    "iso2022_jp": ("喜び", "恐れ"),
    "iso2022_kr": ("기쁨", "두려움"),
}


def sheet(words):
    return "clip,subject,label\r\n" + "".join(f"c{row},s{row},{word}\r\n" for row, word in enumerate(words))


@pytest.mark.parametrize("encoding", LANGUAGES)
def test_a_code_page_is_refused_by_its_name_and_read_when_named(encoding):
    text = sheet(LANGUAGES[encoding])
    content = text.encode(encoding)
    with pytest.raises(SheetError, match="UTF-8") as error:
        decode_sheet(PATH, content)
    said = str(error.value)
    assert re.search(rf"\b{encoding}\b", said) and "clips.csv" in said and "encoding" in said
    if not encoding.startswith("iso2022"):
        assert f"{encoding} (reads {LANGUAGES[encoding][0]!r})" in said
    assert decode_sheet(PATH, content, encoding) == text


def is_unicode(content):
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@given(st.sampled_from([name for name in LANGUAGES if not name.startswith("iso")]), st.data())
def test_no_word_of_a_code_page_is_ever_misread(encoding, data):
    letters = sorted({letter for word in LANGUAGES[encoding] for letter in word})
    words = data.draw(st.lists(st.text(letters, min_size=1, max_size=8), min_size=1, max_size=4))
    content = sheet(words).encode(encoding)
    if is_unicode(content):  # plain ASCII, or letters that happen to be UTF-8 as well
        return
    with pytest.raises(SheetError, match="encoding"):
        decode_sheet(PATH, content)
    assert decode_sheet(PATH, content, encoding) == sheet(words)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\x1b\ufeff"), max_size=40))
def test_unicode_in_all_its_forms_is_read(text):
    for encoding in UNICODE:
        content = text.encode(encoding)
        assert decode_sheet(PATH, content) == text
        assert decode_sheet(PATH, content, encoding) == text


@pytest.mark.parametrize("word", ["joie", "喜び", "радость", "𝒥oy"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_told_without_a_byte_order_mark(word, encoding):
    assert decode_sheet(PATH, sheet([word]).encode(encoding)) == sheet([word])


@pytest.mark.parametrize("content", [b"\xff\xfea", b"a\0b\0c", b"\xef\xbb\xbf\xff"])
def test_text_that_is_cut_short_is_refused(content):
    with pytest.raises(SheetError, match=r"begins as utf-|may be|another encoding"):
        decode_sheet(PATH, content)


def test_a_wrong_name_is_refused_with_what_fits():
    with pytest.raises(SheetError, match="cannot be read as cp932") as error:
        decode_sheet(PATH, sheet(["g\x81"]).encode("latin-1"), "cp932")
    assert "name another encoding" in str(error.value)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("encoding", UNICODE)
@pytest.mark.parametrize("ending", ["\r\n", "\n", "\r"])
def test_a_separator_line_is_obeyed_and_no_row(tmp_path, mark, quote, encoding, ending):
    path = tmp_path / "clips.csv"
    rows = [f"{quote}SEP={mark}{quote}", f"clip{mark}label", f"a{mark}fête", f"b{mark}gêne"]
    path.write_bytes(ending.join(rows).encode(encoding))
    frame = read_sheet(path)
    assert list(frame.columns) == ["clip", "label"] and frame.to_numpy().tolist() == [["a", "fête"], ["b", "gêne"]]
    assert list(frame.index) == [0, 1]


@pytest.mark.parametrize("header", ["Ｓｕｂｊｅｃｔ", "\ufeffSubject", " Subject\u200b", "Subject\xa0"])
def test_headers_are_known_in_any_width_and_with_invisible_signs(tmp_path, header):
    path = tmp_path / "clips.csv"
    path.write_text(f"clip,{header}\na,1\n", encoding="utf-8")
    assert list(read_sheet(path).columns) == ["clip", "Subject"]
