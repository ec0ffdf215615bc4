"""Push one checkpoint to the Hugging Face Hub: one commit, private by default, with a card from its results.

Example:
    python push_to_hub.py --checkpoint OUT/folds/sub01 --repo_id me/fdp-casme2 --dry_run
"""

import argparse
from pathlib import Path

from training_fdp.cli import run_main
from training_fdp.hub.publish import CARD_NAME, Publication, prepare_publication, push


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FOLDER", help="a folder in Hub format")
    parser.add_argument("--repo_id", required=True, metavar="NAMESPACE/NAME", help="repository to push to")
    parser.add_argument("--public", action="store_true", help="let everybody read it (default: private)")
    parser.add_argument("--dry_run", action="store_true", help="show what would be pushed; nothing is sent")
    return parser.parse_args()


def describe(publication: Publication) -> str:
    """Table of the files and the card, as they would appear in the repository."""
    rewritten = {name: len(content) for name, content in publication.rewritten.items()}
    sizes = [(path.name, rewritten.get(path.name, path.stat().st_size)) for path in publication.files]
    sizes.append((CARD_NAME, len(publication.card.encode())))
    lines = [f"{size:>12,} bytes  {name}" for name, size in sorted(sizes)]
    return "\n".join([*lines, "", f"{CARD_NAME}:", publication.card])


def main() -> None:
    """Check, then push or show."""
    arguments = parse_arguments()
    publication = prepare_publication(arguments.checkpoint, arguments.repo_id)
    if publication.results is None:
        print("No results.json belongs to this checkpoint: the card will say that nothing was measured.")
    else:
        print(f"Figures from {publication.results}")
    for name in sorted(publication.rewritten):
        print(f"{name}: paths of this machine are reduced to file names.")
    visibility = "public" if arguments.public else "private"
    if arguments.dry_run:
        print(describe(publication))
        print(
            f"Dry run: nothing was sent. Without --dry_run this is one commit to {arguments.repo_id} ({visibility})."
        )
        return
    url = push(publication, public=arguments.public)
    print(f"Pushed {len(publication.files) + 1} files in one commit to {arguments.repo_id} ({visibility}): {url}")


if __name__ == "__main__":
    run_main(main)
