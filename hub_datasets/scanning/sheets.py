"""Coding sheets: ``.xlsx``, ``.xls`` and ``.csv`` files read into one kind of table, within bounds.

Copies of sheets are re-saved, renamed and retyped: blank columns, stray apostrophes in headers, subjects as text or
integer, a slash where the apex is unknown, formulas whose values were never stored. Reading is by header name, and
every failure is a [`SheetError`] that names the file and the remedy.
"""

import csv
import io
import math
import re
import stat
import struct
import unicodedata
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import openpyxl
import pandas as pd
import xlrd
from openpyxl.utils.exceptions import InvalidFileException

from hub_datasets.errors import SheetError
from hub_datasets.scanning.cells import as_text
from hub_datasets.scanning.encodings import decode_sheet

Row = list[object]
HeaderTest = Callable[[Row], bool]

# The largest sheet of any corpus has 4206 rows and 19 columns (CAS(ME)^3 part A); the bounds refuse archive bombs.
MAXIMUM_BYTES = 64 * 2**20
MAXIMUM_ROWS = 50_000
MAXIMUM_COLUMNS = 256
MAXIMUM_BLANK_ROWS = 5_000  # in one run: some sheets are formatted down to row 1,048,576
_HEADER_SEARCH_ROWS = 50
_SEPARATOR_LINE = re.compile(r'"?sep=(?P<sign>[^\r\n"])"?[,;\t ]*(\r\n|\r|\n)', re.IGNORECASE)

# Errors of the two spreadsheet readers on damaged or hostile files; xlrd asserts its format rules.
_READER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ElementTree.ParseError,
    InvalidFileException,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    csv.Error,
    struct.error,
    xlrd.XLRDError,
    xlrd.compdoc.CompDocError,
    zipfile.BadZipFile,
    zlib.error,
)
_NO_VALUE = object()  # a formula cell without a stored result


def read_sheet(
    path: str | Path,
    sheet: int | str = 0,
    header_row: int | HeaderTest | None = 0,
    maximum_rows: int = MAXIMUM_ROWS,
    encoding: str | None = None,
) -> pd.DataFrame:
    """Read one worksheet as a table of plain Python cells.

    The kind of file is detected by its content, not by its suffix, because renamed sheets are common.

    Args:
        path (`str` or `Path`): an ``.xlsx``, ``.xls`` or ``.csv`` file.
        sheet (`int` or `str`, *optional*, defaults to 0): worksheet by position, or by name whatever its case.
        header_row (`int`, `Callable` or `None`, *optional*, defaults to 0): 0-based row of the header, a test that
            finds it (see [`header_with`]), or `None` for a sheet without one; columns are then numbered from 0.
        maximum_rows (`int`, *optional*, defaults to 50,000): more non-blank rows than this are refused.
        encoding (`str`, *optional*): encoding of a ``.csv`` file; UTF-8 and UTF-16 are recognised when omitted, and
            any other is refused, because several code pages read the same bytes as different words.

    Returns:
        `pandas.DataFrame`: cells of type `object`; blank ones are `None`, whole floats are `int`. Columns without a
        name are dropped. The index is the 0-based data row of the sheet, the number that errata use, so blank rows
        leave gaps.

    Raises:
        SheetError: if the file is absent, damaged or too large, or lacks the worksheet or header.
    """
    path = Path(path)
    rows = _read_rows(path, sheet, maximum_rows, encoding)
    position = _find_header(rows, header_row, path)
    first_data_row = 0 if position is None else position + 1
    body = {index - first_data_row: row for index, row in rows.items() if index >= first_data_row}
    width = max((len(row) for row in rows.values()), default=0)
    no_value = {column for row in body.values() for column, cell in enumerate(row) if cell is _NO_VALUE}
    cells = [
        [None if cell is _NO_VALUE else cell for cell in row] + [None] * (width - len(row)) for row in body.values()
    ]
    frame = pd.DataFrame(cells, index=list(body), columns=range(width), dtype=object)
    names: dict[int, int] | dict[int, str] = {column: column for column in range(width)}
    if position is not None:
        names = _unique({column: _clean_header(cell) for column, cell in enumerate(rows[position])})
        frame = frame[list(names)].set_axis(list(names.values()), axis="columns")
    frame.attrs["formulas_without_values"] = [names[column] for column in sorted(no_value) if column in names]
    return frame


def require_columns(frame: pd.DataFrame, columns: Iterable[str], path: str | Path) -> None:
    """Check that a table has the columns that a corpus needs, with values in them.

    Raises:
        SheetError: if a column is absent, or holds formulas without stored values.
    """
    columns = list(columns)
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise SheetError(
            f"The sheet {path} must have the columns {', '.join(columns)}, but lacks {', '.join(missing)} (it has "
            f"{', '.join(map(str, frame.columns)) or 'none'}): use the sheet that the corpus ships, or restore its "
            "header."
        )
    uncached = sorted(set(columns) & set(frame.attrs.get("formulas_without_values", ())))
    if uncached:
        raise SheetError(
            f"The sheet {path} holds formulas without stored values in {', '.join(uncached)}: open it in a "
            "spreadsheet program, let it compute, and save it again."
        )


def header_with(*names: str) -> HeaderTest:
    """Return a test that finds the header as the first row that has all these names, whatever their case."""
    wanted = {name.casefold() for name in names}
    return lambda row: wanted <= {_clean_header(cell).casefold() for cell in row}


def _read_rows(path: Path, sheet: int | str, maximum_rows: int, encoding: str | None) -> dict[int, Row]:
    """Read the non-blank rows of a worksheet, by 0-based position."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SheetError(f"The sheet {path} is no file: put the corpus's coding sheet there.")
        if status.st_size > MAXIMUM_BYTES:
            raise SheetError(_too_large(path, f"{status.st_size} bytes", f"{MAXIMUM_BYTES}"))
        with path.open("rb") as stream:
            magic = stream.read(4)
        if magic.startswith(b"PK"):
            return _bounded(path, _xlsx_rows(path, sheet), maximum_rows)
        if path.suffix.lower() == ".xls" or magic == b"\xd0\xcf\x11\xe0":
            return _bounded(path, _xls_rows(path, sheet), maximum_rows)
        if path.suffix.lower() == ".xlsx":
            raise SheetError(f"The sheet {path} is no .xlsx file, though named so: download or export it again.")
        return _bounded(path, _csv_rows(path, encoding), maximum_rows)
    except SheetError:
        raise
    except FileNotFoundError as error:
        raise SheetError(f"The sheet {path} does not exist: put the corpus's coding sheet there.") from error
    except _READER_ERRORS as error:
        reason = str(error) or type(error).__name__
        raise SheetError(
            f"The sheet {path} cannot be read ({reason}): open it in a spreadsheet program and save it again, or "
            "download it again."
        ) from error


def _bounded(path: Path, cells: Iterator[Sequence[object]], maximum_rows: int) -> dict[int, Row]:
    """Keep the non-blank rows with clean cells; raise beyond the bounds."""
    rows: dict[int, Row] = {}
    last = -1
    for index, values in enumerate(cells):
        beyond = values[MAXIMUM_COLUMNS:]  # formatted blank cells may reach to column XFD
        if beyond.count(None) < len(beyond) and any(_clean_cell(value) is not None for value in beyond):
            raise SheetError(_too_large(path, f"{len(values)} cells in row {index + 1}", f"{MAXIMUM_COLUMNS}"))
        row = [_clean_cell(value) for value in values[:MAXIMUM_COLUMNS]]
        while row and row[-1] is None:
            row.pop()
        if row:
            rows[index], last = row, index
        elif index - last > MAXIMUM_BLANK_ROWS:
            break
        if len(rows) > maximum_rows:
            raise SheetError(_too_large(path, "more rows", f"{maximum_rows}"))
    return rows


def _too_large(path: Path, given: str, allowed: str) -> str:
    return f"The sheet {path} has {given}, but at most {allowed} are read: delete what is not part of the table."


def _xlsx_rows(path: Path, sheet: int | str) -> Iterator[Sequence[object]]:
    """Yield the rows of an ``.xlsx`` worksheet; a formula without a stored result becomes `_NO_VALUE`."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        size = sum(member.file_size for member in members)  # zipfile reads no member beyond its declared size
        if size > MAXIMUM_BYTES:
            raise SheetError(_too_large(path, f"{size} bytes when unpacked", f"{MAXIMUM_BYTES}"))
        worksheets = [member for member in members if member.filename.startswith("xl/worksheets/")]
        has_formulas = any(re.search(rb"<f[\s/>]", archive.read(member)) for member in worksheets)
    values = _worksheet_rows(path, sheet, data_only=True)
    if not has_formulas:
        yield from values
        return
    for value_row, formula_row in zip(values, _worksheet_rows(path, sheet, data_only=False), strict=True):
        yield [
            _NO_VALUE if value is None and formula is not None else value
            for value, formula in zip(value_row, formula_row, strict=True)
        ]


def _worksheet_rows(path: Path, sheet: int | str, data_only: bool) -> Iterator[Sequence[object]]:
    with path.open("rb") as stream:  # openpyxl refuses a path by its suffix
        workbook = openpyxl.load_workbook(stream, read_only=True, data_only=data_only)
        worksheet = workbook.worksheets[_sheet_position(path, sheet, workbook.sheetnames)]
        worksheet.reset_dimensions()  # the declared size of a worksheet is often wrong, and rows are padded to it
        yield from worksheet.iter_rows(values_only=True)


def _xls_rows(path: Path, sheet: int | str) -> Iterator[Sequence[object]]:
    with xlrd.open_workbook(path, logfile=io.StringIO(), on_demand=True, ragged_rows=True) as workbook:
        worksheet = workbook.sheet_by_index(_sheet_position(path, sheet, workbook.sheet_names()))
        for index in range(worksheet.nrows):
            yield worksheet.row_values(index)


def _csv_rows(path: Path, encoding: str | None) -> Iterator[Sequence[object]]:
    text = decode_sheet(path, path.read_bytes(), encoding)
    separator = _SEPARATOR_LINE.match(text)  # spreadsheet programs write it before the header
    if separator is not None:
        text = text[separator.end() :]
        delimiter = separator["sign"]
    else:
        head = text[:4096].splitlines()[:1]
        delimiter = max(",;\t", key=head[0].count) if head else ","
    yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


def _sheet_position(path: Path, sheet: int | str, names: list[str]) -> int:
    if isinstance(sheet, int) and sheet < len(names):
        return sheet
    for position, name in enumerate(names):
        if isinstance(sheet, str) and name.strip().casefold() == sheet.strip().casefold():
            return position
    raise SheetError(
        f"The sheet {path} has no worksheet {sheet!r} (it has {', '.join(names)}): use the file that the corpus ships."
    )


def _find_header(rows: dict[int, Row], header_row: int | HeaderTest | None, path: Path) -> int | None:
    if header_row is None:
        return None
    if callable(header_row):
        candidates = islice(rows.items(), _HEADER_SEARCH_ROWS)
        position = next((index for index, row in candidates if header_row(row)), None)
    else:
        position = header_row if header_row in rows else None
    if position is None:
        raise SheetError(
            f"The sheet {path} has no header row with the column names that this corpus needs: use the sheet that the "
            "corpus ships, or restore its header."
        )
    return position


def _clean_cell(value: object) -> object:
    """Unify the cells of the three readers: blank is `None`, whole floats are integers, numbers in text stay text."""
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return int(value) if value.is_integer() else value
    return value


def _clean_header(cell: object) -> str:
    """Return a column name without stray apostrophes and spaces, ``""`` for a blank one or pandas' ``Unnamed: 2``."""
    plain = unicodedata.normalize("NFKC", as_text(cell))
    name = " ".join(plain.replace("'", "").replace("\u2019", "").replace("`", "").split())
    return "" if re.fullmatch(r"Unnamed: \d+(_level_\d+)?", name) else name


def _unique(names: dict[int, str]) -> dict[int, str]:
    """Drop blank names, and number repeated ones as pandas does: ``AU``, ``AU.1``."""
    counts: dict[str, int] = {}
    unique = {}
    for column, name in names.items():
        if name:
            count = counts.get(name, 0)
            counts[name] = count + 1
            unique[column] = f"{name}.{count}" if count else name
    return unique


def write_workbook(path: Path, sheets: Mapping[str, Sequence[Sequence[object]]]) -> None:
    """Write an xlsx workbook; the rows of a worksheet include its header and its notes, if it has any."""
    workbook = openpyxl.Workbook(write_only=True)
    for title, rows in sheets.items():
        worksheet = workbook.create_sheet(title)
        for row in rows:
            worksheet.append(list(row))
    path.parent.mkdir(parents=True, exist_ok=True)
    workbook.save(path)
