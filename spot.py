"""Find the micro- and macro-expressions in long recordings of a face; see `spotting_fdp.command`.

Example:
    python spot.py interview.mp4 --output_dir found
"""

from spotting_fdp.command import run

if __name__ == "__main__":
    run()
