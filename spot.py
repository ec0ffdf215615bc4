#!/usr/bin/env python
"""Find the expressions in long recordings of a face; `fdp-spot` where the package is installed.

Example:
    python spot.py interview.mp4 --output_dir found
"""

from spotting_fdp.command import command, main

__all__ = ["main"]

if __name__ == "__main__":
    command()
