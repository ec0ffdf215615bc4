"""FDP, the other systems of the field and plain baselines in one table: `python -m training_fdp.compare ...`."""
