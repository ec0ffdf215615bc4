"""The old Excel format, written: just enough BIFF8 for generated ``.xls`` sheets, which no maintained library writes.

Records as [MS-XLS] defines them, one after the other without the compound document around them; every reader of the
format accepts such a stream.
"""

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

_BEGIN, _END, _BOUND_SHEET, _NUMBER, _LABEL = 0x0809, 0x000A, 0x0085, 0x0203, 0x0204
_BIFF8, _GLOBALS, _WORKSHEET = 0x0600, 0x0005, 0x0010

Cell = str | int | float | None


def write_xls(path: str | Path, *sheets: Iterable[Sequence[Cell]], names: Sequence[str] = ()) -> None:
    """Write worksheets into an ``.xls`` file.

    Args:
        path (`str` or `Path`): the file; its folder is created if needed.
        sheets (`Iterable[Sequence[Cell]]`): rows of each worksheet, the header row included; `None` leaves a cell out.
        names (`Sequence[str]`, *optional*): names of the worksheets, by default ``Sheet1``, ``Sheet2``...
    """
    titles = [names[index] if names else f"Sheet{index + 1}" for index in range(len(sheets))]
    bodies = [_worksheet(rows) for rows in sheets]
    begin = _record(_BEGIN, struct.pack("<HHHHII", _BIFF8, _GLOBALS, 0, 0, 0, 0))
    end = _record(_END, b"")
    directory_size = sum(len(_bound_sheet(title, 0)) for title in titles)
    position = len(begin) + directory_size + len(end)
    directory = b""
    for title, body in zip(titles, bodies, strict=True):
        directory += _bound_sheet(title, position)
        position += len(body)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(begin + directory + end + b"".join(bodies))


def _worksheet(rows: Iterable[Sequence[Cell]]) -> bytes:
    parts = [_record(_BEGIN, struct.pack("<HHHHII", _BIFF8, _WORKSHEET, 0, 0, 0, 0))]
    for row_index, row in enumerate(rows):
        for column_index, cell in enumerate(row):
            place = struct.pack("<HHH", row_index, column_index, 0)
            if isinstance(cell, str):
                encoded = cell.encode("utf-16-le")
                parts.append(_record(_LABEL, place + struct.pack("<HB", len(encoded) // 2, 1) + encoded))
            elif cell is not None:
                parts.append(_record(_NUMBER, place + struct.pack("<d", cell)))
    return b"".join([*parts, _record(_END, b"")])


def _bound_sheet(title: str, position: int) -> bytes:
    encoded = title.encode("utf-16-le")
    return _record(_BOUND_SHEET, struct.pack("<IBBBB", position, 0, 0, len(encoded) // 2, 1) + encoded)


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack("<HH", kind, len(content)) + content
