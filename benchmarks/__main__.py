"""`python -m benchmarks NAME [OPTIONS]`: run a benchmark by its name."""

import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    """Run the benchmark that the first argument names, with the other arguments."""
    names = sorted(
        path.stem
        for path in FOLDER.glob("*.py")
        if not path.stem.startswith("_") and "__main__" in path.read_text(encoding="utf-8")
    )
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        given = sys.argv[1] if len(sys.argv) > 1 else "nothing"
        raise SystemExit(f"python -m benchmarks takes one of {', '.join(names)}, but {given} was given; name one.")
    name = sys.argv.pop(1)
    # Benchmarks import each other as top-level modules, because they may be run as files.
    sys.path.insert(0, str(FOLDER))
    runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
