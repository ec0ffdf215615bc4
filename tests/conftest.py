"""Before anything is imported: tests that compare bits run on the CPU with one thread, on whatever machine."""

import gc
import os

# `CUDA_VISIBLE_DEVICES=0 pytest ...` runs those that want a card.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish():
    """Leave the libraries out of garbage collections, of which every fold of every run makes one."""
    gc.freeze()
