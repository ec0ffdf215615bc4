"""What becomes of a checkpoint: predictions, model card, publication."""
