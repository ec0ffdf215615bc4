"""Use of a checkpoint: predictions, model card, publication."""
