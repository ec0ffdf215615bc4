"""Fresh processes get the threads that the command line asks for."""

import sys

import pytest

from benchmarks.cold_start import cold

CODE = "import os, sys; sys.exit(os.environ.get('OMP_NUM_THREADS') != '3')"


@pytest.mark.parametrize("threads", [3, None])
def test_threads_reach_fresh_processes(threads, monkeypatch):
    """Without the option they have those of the environment."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1" if threads else "3")
    used = cold([sys.executable, "-c", CODE], rounds=1, threads=threads)
    assert 0 < used["processor s"] < 5
