"""`python -m benchmarks NAME [OPTIONS]`: run a benchmark by its name; `NAME --help` lists its options."""

import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
# Benchmarks by name whose module has another name, because `import` is a keyword.
MODULES = {"import": "cold_start"}


def main() -> None:
    """Run the benchmark that the first argument names, with the other arguments."""
    modules = {
        path.stem: path.stem
        for path in FOLDER.glob("*.py")
        if not path.stem.startswith("_") and "__main__" in path.read_text(encoding="utf-8")
    }
    modules = {name: module for name, module in modules.items() if module not in MODULES.values()} | MODULES
    if len(sys.argv) < 2 or sys.argv[1] not in modules:
        given = sys.argv[1] if len(sys.argv) > 1 else "nothing"
        raise SystemExit(
            f"python -m benchmarks takes one of {', '.join(sorted(modules))}, but {given} was given; name one."
        )
    runpy.run_module(f"benchmarks.{modules[sys.argv.pop(1)]}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
