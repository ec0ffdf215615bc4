"""Training: corpora, folds, the loop, runs, and what becomes of a checkpoint."""
