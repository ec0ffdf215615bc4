"""Baselines on the same clips, folds and metrics: `python -m training_fdp.baselines --corpus NAME ...`."""
