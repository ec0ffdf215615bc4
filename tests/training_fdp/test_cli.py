"""Errors on a command line: one sentence and exit code 2 for the user's, a traceback for ours."""

import errno
import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluation_fdp.errors import ConfigError
from hub_datasets.errors import CorpusError
from processing_fdp.clip_reading_fdp import VideoReadError
from training_fdp.cli import no_garbage_collection, run_main
from training_fdp.errors import Interrupted, PublishError, TrainingError


def leave(error):
    def main():
        raise error

    with pytest.raises(SystemExit) as caught:
        run_main(main)
    return caught.value.code


@pytest.mark.parametrize(
    ("answer", "code"),
    [(None, 0), (0, 0), (1, 1)],
)
def test_exit_codes(answer, code):
    with pytest.raises(SystemExit) as caught:
        run_main(lambda: answer)
    assert caught.value.code == code


@pytest.mark.parametrize("kind", [ConfigError, TrainingError, PublishError, CorpusError, VideoReadError])
def test_a_user_error_is_one_sentence(kind, capsys):
    assert leave(kind("the clip\n  is broken")) == 2
    captured = capsys.readouterr()
    assert captured.err == "error: the clip is broken\n" and captured.out == ""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_is_a_user_error(number, capsys):
    assert leave(OSError(number, "No space left", "/somewhere/file")) == 2
    assert "/somewhere/file" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("write", [lambda file: np.save(file, np.ones(9)), lambda file: file.write(b"text")])
def test_a_full_disk_is_named_as_what_it_is(write, capsys):
    def main():
        with open("/dev/full", "wb") as file:
            write(file)

    with pytest.raises(SystemExit) as left:
        run_main(main)
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: No space left on device") and "None" not in said


@pytest.mark.parametrize("error", [ValueError("a bug"), RuntimeError("a bug"), OSError(errno.EBADF, "a bug")])
def test_a_bug_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        leave(error)


def test_only_the_main_process_speaks(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    assert leave(ConfigError("said once is enough")) == 2
    assert capsys.readouterr().err == ""


def test_interruption(capsys):
    assert leave(KeyboardInterrupt()) == 130
    assert "same command" in capsys.readouterr().err


def test_a_run_that_was_asked_to_stop_has_a_code_of_its_own(capsys):
    """A scheduler then knows that the job is to be started again: not 0, 1, 2, nor those of signals."""
    assert leave(Interrupted("fold s00 was stopped after step 7 of 20")) == 75
    assert capsys.readouterr().err == (
        "fold s00 was stopped after step 7 of 20; the same command resumes from there\n"
    )


def test_a_reader_that_has_enough_is_no_error():
    """As in `predict.py clip.avi | head -1`."""
    read, write = os.pipe()
    os.close(read)
    code = "from training_fdp.cli import run_main, say; run_main(lambda: say('a line'))"
    completed = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (completed.returncode, completed.stderr) == (141, "")


def test_garbage_is_collected_again_after_imports_and_after_their_failure():
    gc.unfreeze()
    with no_garbage_collection():
        assert not gc.isenabled()
        loop = [object()]
        loop.append(loop)
    assert gc.isenabled() and gc.get_freeze_count() > 0
    with pytest.raises(ImportError), no_garbage_collection():
        raise ImportError
    assert gc.isenabled()
    gc.unfreeze()
