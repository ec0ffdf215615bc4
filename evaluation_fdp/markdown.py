"""Tables in Markdown, and generated blocks in Markdown files that are edited by hand."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from evaluation_fdp.atomic_files import write_text
from evaluation_fdp.errors import ConfigError


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown (`str`) of a header and rows of the same length."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows])


def aligned_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table (`list[str]`), header first, that is Markdown and is aligned on a terminal too."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return lines


def write_block(path: Path, name: str, text: str) -> None:
    """Put generated text between `<!-- begin: name -->` and `<!-- end: name -->` of a Markdown file; the rest stays.

    Args:
        path (`Path`): The file; made where it is missing, and the block is appended where it has none.
        name (`str`): Which block.
        text (`str`): New content of the block.

    Raises:
        ConfigError: the file has one of the two markers without the other.
    """
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    block = f"{begin}\n{text.strip()}\n{end}"
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    before, found_begin, rest = old.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin and end not in old:
        new = f"{old.rstrip()}\n\n{block}\n".lstrip()
    elif found_begin and found_end:
        new = f"{before}{block}{after}"
    else:
        raise ConfigError(
            f"{path} must hold both '{begin}' and '{end}', but holds one of them; add the other or drop both"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, new)
