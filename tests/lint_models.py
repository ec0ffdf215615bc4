"""transformers' own linter for models (`transformers-mlinter`) over the rooms that go to the Hub.

    python tests/lint_models.py

Rules that cannot hold in code that lives outside transformers are named here, and nowhere else, with the reason.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import mlinter

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("modeling_fdp", "modeling_mol", "processing_fdp")
SUPPRESSED = {
    "TRF028": "the licence of this package stands in LICENSE and on every model card, not in each file",
    "TRF057": "@auto_docstring writes texts for models inside transformers; here shapes and ranges are written out",
}


def main() -> int:
    """Lints the rooms.

    Returns:
        `int`: 0 without findings.
    """
    rules = (Path(mlinter.__file__).parent / "rules.toml").read_text(encoding="utf-8")
    for rule in SUPPRESSED:
        switch = rf"(\[rules\.{rule}\]\n(?:(?!\[).*\n)*?default_enabled = )true"
        rules, found = re.subn(switch, r"\1false", rules)
        if not found:
            raise ValueError(f"A suppressed rule must be one that mlinter has switched on, but {rule} is not.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.toml"
        path.write_text(rules, encoding="utf-8")
        command = [sys.executable, "-m", "mlinter", "--no-progress", "--no-cache", "--rules-toml", str(path), *ROOMS]
        return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
