"""Corpora, aligned clips, batches and augmentation."""
