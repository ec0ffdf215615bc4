#!/usr/bin/env python
"""Name the micro-expression in video files or folders of frames; `fdp-predict` where the package is installed.

Example:
    python predict.py clip.avi frames/ --output_dir answers
"""

from spotting_fdp.predict_command import command, main

__all__ = ["main"]

if __name__ == "__main__":
    command()
