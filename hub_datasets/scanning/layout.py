"""Finding the sheets and the frames of a corpus below the root of a download."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pandas as pd

from hub_datasets.errors import SheetError
from hub_datasets.records import Package, SheetFile
from hub_datasets.scanning.folders import FolderTree
from hub_datasets.scanning.sheets import HeaderTest, read_sheet, require_columns

ANY = "auto"  # value of an option that was not given


@dataclass(frozen=True)
class Layout:
    """Package and sheets found below the root.

    Attributes:
        tree (`FolderTree`): View of the download in which letter case and normal form of names do not matter.
        package (`Package`): The package that is used.
        package_roots (`list[Path]`): Its folders; more than one where a corpus comes in sections.
        sheets (`dict[str, tuple[SheetFile, Path]]`): Sheet of each role.
        encoding (`str`, *optional*): Encoding of sheets in CSV, where the caller named one.
    """

    tree: FolderTree
    package: Package
    package_roots: list[Path]
    sheets: dict[str, tuple[SheetFile, Path]]
    encoding: str | None = None

    def sheet_path(self, role: str = "annotation") -> Path:
        """Path of the sheet of a role.

        Raises:
            SheetError: the download has no sheet of that role.
        """
        if role not in self.sheets:
            raise SheetError(
                f"a sheet of the kind {role!r} is needed below {self.tree.root}, but none was found: put it beside "
                "the annotation sheet."
            )
        return self.sheets[role][1]

    def read_sheet(
        self, columns: Iterable[str] = (), role: str = "annotation", header_row: int | HeaderTest | None = 0
    ) -> pd.DataFrame:
        """Read the sheet of a role.

        Args:
            columns (`Iterable[str]`, *optional*): Columns that it must have.
            role (`str`, *optional*, defaults to `"annotation"`): Which sheet.
            header_row (`int` or `Callable`, *optional*, defaults to 0): See
                [`hub_datasets.scanning.sheets.read_sheet`].

        Returns:
            `pandas.DataFrame`: the table.

        Raises:
            SheetError: the sheet is missing, cannot be read, or lacks a column.
        """
        path = self.sheet_path(role)
        frame = read_sheet(path, header_row=header_row, encoding=self.encoding)
        require_columns(frame, columns, path)
        return frame


def find_sheets(
    tree: FolderTree, wanted: Sequence[SheetFile], packages: Sequence[Package], version: str = ANY
) -> dict[str, tuple[SheetFile, Path]]:
    """Find the preferred sheet of each role.

    Args:
        tree (`FolderTree`): The download.
        wanted (`Sequence[SheetFile]`): Sheets to look for, in order of preference.
        packages (`Sequence[Package]`): Packages of the corpus, whose subject folders are not searched.
        version (`str`, *optional*, defaults to `"auto"`): Only this version of the annotation sheet.

    Returns:
        `dict[str, tuple[SheetFile, Path]]`: sheet and path by role.
    """
    stop = "|".join(dict.fromkeys(package.child_pattern for package in packages))
    sheets: dict[str, tuple[SheetFile, Path]] = {}
    for sheet in wanted:
        if sheet.role in sheets or (sheet.role == "annotation" and version not in (ANY, sheet.variant)):
            continue
        # "~$name.xlsx" is a spreadsheet program's lock of an open file.
        paths = [path for path in tree.files_named(sheet.file_pattern, stop) if not path.name.startswith("~$")]
        if paths:
            sheets[sheet.role] = (sheet, paths[0])
    return sheets


def find_package(
    tree: FolderTree, packages: Sequence[Package], wanted: str, not_found: Callable[[str], NoReturn]
) -> tuple[Package, list[Path]]:
    """Find the preferred package of a download, with all of its folders.

    Args:
        tree (`FolderTree`): The download.
        packages (`Sequence[Package]`): Packages in order of preference.
        wanted (`str`): Name of one of them, or `"auto"`.
        not_found (`Callable`): Raises the corpus's error with what was found instead.

    Returns:
        `tuple[Package, list[Path]]`: the package and its folders, nearest to the root first.
    """
    present: list[str] = []
    # The root's own name is part of the path only where no specific pattern matches below it.
    named = [package for package in packages if package.path_pattern and not package.fallback]
    for candidates, with_root_name in ((named, False), (packages, True)):
        for package in candidates:
            roots = tree.package_folders(package, with_root_name)
            if roots and wanted in (ANY, package.name):
                return package, roots
            if roots:
                present.append(package.name)
    if present:
        not_found(f"no package {wanted!r}, only {', '.join(dict.fromkeys(present))}")
    not_found(f"no folder with frames; {tree.summary()}")


def readable_parts(parts: Sequence[str | tuple[str, ...]]) -> str:
    """Path of a folder for messages, each part in its first spelling."""
    return "/".join(part if isinstance(part, str) else part[0] for part in parts)
