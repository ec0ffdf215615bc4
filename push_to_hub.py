#!/usr/bin/env python
"""Push a checkpoint, a run or the rendered corpus to the Hugging Face Hub; `fdp-push` where the package is installed.

Example:
    python push_to_hub.py --checkpoint OUT/folds/sub01 --repo_id me/fdp-casme2 --dry_run
    python push_to_hub.py --checkpoint OUT --folds --repo_id me/fdp-casme2
    python push_to_hub.py --corpus synthetic --data_dir FACES --repo_id me/rendered-micro-expressions
"""

from training_fdp.commands.push import command

if __name__ == "__main__":
    command()
