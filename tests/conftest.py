"""Before anything is imported: tests that compare bits run on the CPU with one thread, on whatever machine."""

import os

# `CUDA_VISIBLE_DEVICES=0 pytest ...` runs those that want a card.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("OMP_NUM_THREADS", "1")
