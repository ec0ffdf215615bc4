"""Tables of docs/performance.md from the JSON of benchmarks.

    python -m benchmarks inference --json > docs/performance/inference.json
    python -m benchmarks inference --exports --json > docs/performance/exports.json
    python -m benchmarks page

Each file of docs/performance replaces the text between the marks `<!-- NAME -->` and `<!-- end of NAME -->` of the
page, NAME being that of the file.
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.timing import ROOT, as_markdown

PAGE = ROOT / "docs" / "performance.md"
FOLDER = ROOT / "docs" / "performance"


def filled(page: str, folder: Path) -> str:
    """Return the text of a page with the tables of a folder (`str`).

    Raises:
        SystemExit: a file whose marks the page lacks.
    """
    for path in sorted(folder.glob("*.json")):
        begin, end = f"<!-- {path.stem} -->", f"<!-- end of {path.stem} -->"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise SystemExit(f"The page needs the marks {begin} and {end} for {path.name}, once each; write them.")
        before, after = page.split(begin)[0], page.split(end)[1]
        table = as_markdown(json.loads(path.read_text(encoding="utf-8")))
        page = f"{before}{begin}\n\n{table}\n\n{end}{after}"
    return page


def main() -> int:
    """Fill the page."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), FOLDER), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
