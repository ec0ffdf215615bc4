import os
import re
import time
import zipfile

import openpyxl
import pytest

from hub_datasets.errors import SheetError
from hub_datasets.scanning.sheets import MAXIMUM_BYTES, header_with, read_sheet, require_columns
from tests.fakes.xls_writer import write_xls

ROWS = [
    ["Subject", "Filename", "OnsetF", "AU"],
    ["01", "EP01_5", 113, "L12"],
    [2, "EP02_1", 7, 4],
    [3, "EP09f", 5, None],
]
PLAIN = [["01", "EP01_5", 113, "L12"], [2, "EP02_1", 7, 4], [3, "EP09f", 5, None]]


def write_xlsx(path, *sheets, names=()):
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for position, rows in enumerate(sheets):
        worksheet = workbook.create_sheet(names[position] if names else f"Sheet{position + 1}")
        for row in rows:
            worksheet.append(row)
    workbook.save(path)
    return path


def write_csv(path, rows, encoding="utf-8", delimiter=","):
    text = "\r\n".join(delimiter.join("" if cell is None else str(cell) for cell in row) for row in rows)
    path.write_bytes(text.encode(encoding))
    return path


def cells(frame):
    return frame.to_numpy().tolist()


def test_an_empty_workbook_has_no_header(tmp_path):
    with pytest.raises(SheetError, match="header row"):
        read_sheet(write_xlsx(tmp_path / "empty.xlsx", []))


@pytest.mark.parametrize("write", [write_xlsx, write_xls])
def test_spreadsheets_keep_text_and_numbers_apart(tmp_path, write):
    path = tmp_path / ("sheet.xlsx" if write is write_xlsx else "sheet.xls")
    write(path, ROWS)
    frame = read_sheet(path)
    assert list(frame.columns) == ROWS[0]
    assert cells(frame) == PLAIN
    assert [type(cell) for cell in cells(frame)[0]] == [str, str, int, str]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_is_read_whatever_the_export(tmp_path, encoding, delimiter):
    rows = [["Subject", "Remark"], [1, "\u7406"]]
    path = write_csv(tmp_path / "sheet.csv", rows, encoding, delimiter)
    if encoding == "gb18030":  # the same bytes are a word in Korean, Russian, Greek and Hebrew code pages
        with pytest.raises(SheetError, match=r"gb18030 \(reads '\u7406'\)"):
            read_sheet(path)
    frame = read_sheet(path, encoding=encoding)
    assert list(frame.columns) == ["Subject", "Remark"]
    assert cells(frame) == [["1", "\u7406"]]


def test_the_content_decides_not_the_suffix(tmp_path):
    renamed = write_xlsx(tmp_path / "sheet.xlsx", ROWS).rename(tmp_path / "sheet.xls")
    assert cells(read_sheet(renamed)) == PLAIN


def test_headers_are_cleaned_and_blank_columns_dropped(tmp_path):
    header = [" Subject ", None, "sub_ID'", "video  emo'", "Unnamed: 4", "AU", "AU"]
    path = write_xlsx(tmp_path / "sheet.xlsx", [header, [1, "x", 2, 3, "y", 4, 5]])
    frame = read_sheet(path)
    assert list(frame.columns) == ["Subject", "sub_ID", "video emo", "AU", "AU.1"]
    assert cells(frame) == [[1, 2, 3, 4, 5]]


def test_the_header_is_found_by_its_names(tmp_path):
    notes = [["Notes and symbols"], [None], ["/", "or"]]
    path = write_xlsx(tmp_path / "sheet.xlsx", [*notes, *ROWS])
    frame = read_sheet(path, header_row=header_with("subject", "FILENAME"))
    assert cells(frame) == PLAIN
    with pytest.raises(SheetError, match="no header row"):
        read_sheet(path, header_row=header_with("Nobody"))


def test_without_header_columns_are_numbered_and_rows_are_data(tmp_path):
    frame = read_sheet(write_xlsx(tmp_path / "sheet.xlsx", ROWS), header_row=None)
    assert list(frame.columns) == [0, 1, 2, 3]
    assert cells(frame) == [ROWS[0], *PLAIN]


def test_the_index_is_the_data_row_that_errata_name(tmp_path):
    path = write_xlsx(tmp_path / "sheet.xlsx", [ROWS[0], ROWS[1], [None], ROWS[2], ["   "]])
    assert list(read_sheet(path).index) == [0, 2]


def test_worksheets_go_by_name_or_position(tmp_path):
    for path in (tmp_path / "sheet.xlsx", tmp_path / "sheet.xls"):
        write = write_xlsx if path.suffix == ".xlsx" else write_xls
        write(path, ROWS, [["other"], [1]], names=("AU+Emotion", "eye blink"))
        assert cells(read_sheet(path, "Eye Blink ")) == [[1]]
        assert cells(read_sheet(path, 1)) == [[1]]
        with pytest.raises(SheetError, match=re.escape("it has AU+Emotion, eye blink")):
            read_sheet(path, "label")
        with pytest.raises(SheetError, match="no worksheet 2"):
            read_sheet(path, 2)


def test_missing_columns_are_named(tmp_path):
    path = write_xlsx(tmp_path / "sheet.xlsx", ROWS)
    with pytest.raises(SheetError, match=r"lacks ApexF, OffsetF .*sheet\.xlsx|sheet\.xlsx.* lacks ApexF, OffsetF"):
        require_columns(read_sheet(path), ["Subject", "ApexF", "OffsetF"], path)


def test_formulas_without_stored_values_matter_only_where_needed(tmp_path):
    path = write_xlsx(tmp_path / "sheet.xlsx", [["Subject", "OnsetF", "TotalVL"], [1, 5, "=B2+1"], [2, 6, "=B3+1"]])
    frame = read_sheet(path)
    assert cells(frame) == [[1, 5, None], [2, 6, None]]
    require_columns(frame, ["Subject", "OnsetF"], path)
    with pytest.raises(SheetError, match=r"formulas without stored values in TotalVL.*save it again"):
        require_columns(frame, ["Subject", "TotalVL"], path)


def test_formulas_with_stored_values_are_numbers(tmp_path):
    path = write_xlsx(tmp_path / "plain.xlsx", [["Onset", "Duration"], [5, "=A2+1"]])
    cached = tmp_path / "cached.xlsx"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(cached, "w") as target:
        for member in source.namelist():
            content = source.read(member)
            target.writestr(member, content.replace(b"<v />", b"<v>6</v>").replace(b"<v></v>", b"<v>6</v>"))
    frame = read_sheet(cached)
    require_columns(frame, ["Duration"], cached)
    assert cells(frame) == [[5, 6]]


def test_an_absent_sheet_is_named(tmp_path):
    with pytest.raises(SheetError, match=r"nowhere\.xlsx does not exist"):
        read_sheet(tmp_path / "nowhere.xlsx")


@pytest.mark.parametrize("name", ["sheet.xlsx", "sheet.xls"])
@pytest.mark.parametrize(
    "content", [b"", b"not a spreadsheet", b"PK\x03\x04 cut short", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"]
)
def test_damaged_sheets_are_named(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SheetError, match=re.escape(name)):
        read_sheet(path)


@pytest.mark.parametrize("name", ["sheet.xlsx", "sheet.xls"])
def test_a_sheet_cut_anywhere_is_an_error_or_a_table(tmp_path, name):
    whole = tmp_path / f"whole_{name}"
    (write_xlsx if name.endswith("x") else write_xls)(whole, ROWS)
    content = whole.read_bytes()
    for length in range(1, len(content), max(1, len(content) // 40)):
        path = tmp_path / name
        path.write_bytes(content[:length])
        try:
            read_sheet(path)
        except SheetError as error:
            assert name in str(error)


def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path):
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/sheet1.xml", "w") as member:
        for _ in range(1 + MAXIMUM_BYTES // 2**20):
            member.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    started = time.perf_counter()
    with pytest.raises(SheetError, match="when unpacked"):
        read_sheet(path)
    assert time.perf_counter() - started < 5


def test_an_entity_bomb_is_refused(tmp_path):
    path = write_xlsx(tmp_path / "plain.xlsx", ROWS)
    bomb = tmp_path / "bomb.xlsx"
    declaration = b'<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;">]>'
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(bomb, "w") as target:
        for member in source.namelist():
            content = source.read(member)
            target.writestr(member, declaration + content if member.startswith("xl/worksheets") else content)
    with pytest.raises(SheetError, match=r"bomb\.xlsx"):
        read_sheet(bomb)


def test_too_many_rows_or_columns_are_refused(tmp_path):
    path = write_csv(tmp_path / "rows.csv", [["Subject"], *([1] for _ in range(100_000))])
    with pytest.raises(SheetError, match="at most 50000"):
        read_sheet(path)
    assert len(read_sheet(path, maximum_rows=200_000)) == 100_000
    with pytest.raises(SheetError, match=r"300 cells in row 1"):
        read_sheet(write_csv(tmp_path / "columns.csv", [range(300)]))


def test_blank_cells_formatted_to_the_last_column_are_no_data(tmp_path):
    workbook = openpyxl.Workbook()
    for row in ROWS * 100:
        workbook.active.append(row)
    for row in range(1, 401):
        workbook.active.cell(row=row, column=16_384).font = openpyxl.styles.Font(bold=True)
    path = tmp_path / "formatted.xlsx"
    workbook.save(path)
    started = time.perf_counter()
    assert cells(read_sheet(path))[:3] == PLAIN
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_named(tmp_path, kind):
    path = tmp_path / "sheet.xlsx"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(SheetError, match=r"sheet\.xlsx is no file"):
        read_sheet(path)


def test_rows_formatted_down_to_the_last_one_end_the_table(tmp_path):
    workbook = openpyxl.Workbook()
    for row in ROWS:
        workbook.active.append(row)
    workbook.active.cell(row=1_048_576, column=1, value="stray")
    path = tmp_path / "formatted.xlsx"
    workbook.save(path)
    started = time.perf_counter()
    assert cells(read_sheet(path)) == PLAIN
    assert time.perf_counter() - started < 10
