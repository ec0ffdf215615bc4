"""One fold: its loop, optimiser, checkpoints and evaluation."""
