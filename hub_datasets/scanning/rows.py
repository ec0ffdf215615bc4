"""Rows of a coding sheet that have one subject, one clip and one interval each, as most sheets have them."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from hub_datasets.records import ClipRecord
from hub_datasets.scanning.cells import as_frame_number, as_subject_number, as_text, normalise_emotion

_NO_SUBJECT = -1


@dataclass(frozen=True)
class SheetRow:
    """One row, its cells read; values without a column are `None` or `""`.

    Attributes:
        position (`int`): 0-based data row of the sheet, the number that errata use.
        subject (`int`): Number in the subject cell; -1 where it has none.
        clip (`str`): Name of the clip.
        onset, apex, offset (`int`, *optional*): Frame numbers as the sheet has them.
        written_onset (`str`): The onset cell as text, part of public clip names.
        emotion (`str`): The corpus's own word, lower case.
        action_units (`str`): The AU cell as written.
        cells (`Mapping[str, object]`): Every requested cell, by role.
    """

    position: int
    subject: int
    clip: str
    onset: int | None
    apex: int | None
    offset: int | None
    written_onset: str
    emotion: str
    action_units: str
    cells: Mapping[str, object] = field(default_factory=dict)

    def record(
        self,
        *,
        key: str,
        clip_id: str,
        subject: str,
        recording: str,
        folder_parts: tuple[str | tuple[str, ...], ...],
        **others: Any,
    ) -> ClipRecord:
        """Make the record of this row; `others` replace its interval, emotion and action units, or add to them."""
        annotated = {
            "onset": self.onset,
            "apex": self.apex,
            "offset": self.offset,
            "emotion": self.emotion,
            "action_units": self.action_units,
        }
        return ClipRecord(
            key=key,
            clip_id=clip_id,
            subject=subject,
            recording=recording,
            folder_parts=folder_parts,
            **{**annotated, **others},
        )


def clip_rows(
    frame: pd.DataFrame, columns: Mapping[str, Hashable], needed: Sequence[str] = ("subject", "clip")
) -> Iterator[SheetRow]:
    """Read the rows of a sheet; notes below a table and blank rows are skipped.

    Args:
        frame (`pandas.DataFrame`): The sheet.
        columns (`Mapping[str, Hashable]`): Column of each role: `subject`, `clip`, `onset`, `apex`, `offset`,
            `emotion`, `action_units` (the fields of [`SheetRow`]), and any further name, which is found in
            `SheetRow.cells`. Columns that the sheet lacks are blank.
        needed (`Sequence[str]`, *optional*, defaults to `("subject", "clip")`): Roles, of these two,
            without which a row is skipped.

    Yields:
        `SheetRow`: in sheet order.
    """
    present = {role: column for role, column in columns.items() if column in frame.columns}
    for position, *values in frame[list(present.values())].itertuples():
        cells: dict[str, object] = dict.fromkeys(columns) | dict(zip(present, values, strict=True))
        subject, clip = as_subject_number(cells.get("subject")), as_text(cells.get("clip"))
        if (subject is None and "subject" in needed) or (not clip and "clip" in needed):
            continue
        yield SheetRow(
            position=position,
            subject=_NO_SUBJECT if subject is None else subject,
            clip=clip,
            onset=as_frame_number(cells.get("onset")),
            apex=as_frame_number(cells.get("apex")),
            offset=as_frame_number(cells.get("offset")),
            written_onset=as_text(cells.get("onset")),
            emotion=normalise_emotion(cells["emotion"]) if "emotion" in columns else "",
            action_units=as_text(cells.get("action_units")),
            cells=cells,
        )
