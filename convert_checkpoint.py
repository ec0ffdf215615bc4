#!/usr/bin/env python
"""Turn a state dict of the authors' code into a folder in Hub format.

    python convert_checkpoint.py SRC.pth DST --labels surprise happiness disgust repression others

The released code saves bare state dicts of its class `FDP`. The converted network equals theirs, its input does not:
the folder's video processor samples frames evenly and scales pixels by x / 127.5 - 1; the released code samples frames
by a stride and normalises them by the statistics of a split.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from modeling_fdp.convert_fdp_checkpoint import CheckpointError, convert_state_dict, read_state_dict
from processing_fdp import FDPVideoProcessor


def _check_destination(path: Path) -> None:
    """Refuse a path that cannot become a folder, because transformers would only log it after the conversion."""
    for folder in (path, *path.parents):
        if folder.exists():
            if not folder.is_dir():
                raise CheckpointError(f"the destination must be a folder, but {folder} is a file; choose another.")
            return


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert one checkpoint.

    Args:
        arguments (`Sequence[str]`, *optional*): command line without the program's name.

    Returns:
        `int`: 0, or 2 after a `CheckpointError` or a missing file.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="state dict of the authors' code, .pth")
    parser.add_argument("destination", type=Path, help="folder to write: config, weights, code, video processor")
    parser.add_argument("--labels", nargs="+", help="class names in the order of the checkpoint's outputs")
    options = parser.parse_args(arguments)
    try:
        _check_destination(options.destination)
        model = convert_state_dict(read_state_dict(options.source), options.labels)
    except (CheckpointError, FileNotFoundError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    model.save_pretrained(options.destination)
    processor = FDPVideoProcessor(
        num_frames=model.config.num_frames, size={"height": model.config.image_size, "width": model.config.image_size}
    )
    processor.save_pretrained(options.destination)
    sys.stdout.write(
        f"{options.source} -> {options.destination}\n"
        "The network is that of the released code; the video processor samples frames evenly and scales pixels by "
        "x / 127.5 - 1, the released code samples by a stride and uses statistics of a split: outputs differ.\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
