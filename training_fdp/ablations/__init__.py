"""Ablations of FDP on one corpus: `python -m training_fdp.ablations --corpus NAME ... --output_dir OUT`."""
