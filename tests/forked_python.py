"""Python commands in processes forked from one that has imported the libraries already.

A start of torch and transformers takes seconds, and starts took a quarter of the time of all tests.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from multiprocessing import forkserver
from pathlib import Path

PRELOADED = ["transformers", "training_fdp.runs.run", "spotting_fdp.predict_command", "spotting_fdp.recognition"]
TIMEOUT_S = 600


def run_python(words, folder, environment):
    """What `python WORDS` does in FOLDER, but for imports.

    Args:
        words (`Sequence[str]`): `-c CODE`, `-m MODULE ...` or `SCRIPT ...`.
        folder (`Path`): Working folder.
        environment (`dict[str, str]`): All variables. Those that libraries read when they are imported, as
            `HF_ENDPOINT`, have no effect; `HF_HUB_OFFLINE` is 1.

    Returns:
        `subprocess.CompletedProcess`: exit code, standard output and standard error.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
    with tempfile.TemporaryDirectory() as said:
        paths = [Path(said) / name for name in ("stdout", "stderr")]
        process = context.Process(target=_run, args=(list(map(str, words)), folder, environment, paths))
        process.start()
        process.join(TIMEOUT_S)
        process.kill()
        process.join()
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
    return subprocess.CompletedProcess(words, process.exitcode, *texts)


def _run(words, folder, environment, paths):
    for number, path in enumerate(paths, 1):
        with path.open("w") as file:
            os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    option, *rest = words
    sys.path.insert(0, str(folder) if option.startswith("-") else str(Path(option).parent))
    try:
        if option == "-c":
            sys.argv = ["-c"]
            exec(compile(rest[0], "<code>", "exec"), {"__name__": "__main__"})
        elif option == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            runpy.run_path(option, run_name="__main__")
    finally:  # multiprocessing prints an error and turns what `sys.exit` was given into the exit code
        sys.stdout.flush()
