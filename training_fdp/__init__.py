"""Training: corpora, folds, the loop, runs, and the use of checkpoints."""
