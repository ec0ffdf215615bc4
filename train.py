#!/usr/bin/env python
"""Train and evaluate a network: `accelerate launch train.py --corpus synthetic --output_dir runs/first`."""

from training_fdp.commands.train import command, main

__all__ = ["main"]

if __name__ == "__main__":
    command()
