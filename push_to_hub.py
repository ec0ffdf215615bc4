"""Push a checkpoint, or a run, to the Hugging Face Hub: one commit each, private by default, with a model card.

Example:
    python push_to_hub.py --checkpoint OUT/folds/sub01 --repo_id me/fdp-casme2 --dry_run
    python push_to_hub.py --checkpoint OUT --folds --repo_id me/fdp-casme2
"""

import argparse
from pathlib import Path

from training_fdp.cli import run_main
from training_fdp.hub.publish import CARD_NAME, MAIN, Publication, prepare_publications, push


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="FOLDER_OR_RUN",
        help="a folder in Hub format, or the OUT of a run, of which final/ is pushed",
    )
    parser.add_argument("--repo_id", required=True, metavar="NAMESPACE/NAME", help="repository to push to")
    parser.add_argument("--folds", action="store_true", help="of a run, also push each fold, as branch fold-NAME")
    parser.add_argument("--revision", default=MAIN, help="branch to push to (default: %(default)s)")
    parser.add_argument("--public", action="store_true", help="make the repository public (default: private)")
    parser.add_argument("--dry_run", action="store_true", help="list the files to push without sending them")
    return parser.parse_args()


def describe(publication: Publication) -> str:
    """Table of the files of one commit."""
    lines = [f"{publication.revision}: {len(publication.files)} files"]
    for file in publication.files:
        note = "  (made from the run, or local paths removed)" if file.made else ""
        lines.append(f"{file.size:>12,} bytes  {file.name}{note}")
    figures = "no results.json: the card has no figures"
    if publication.results is not None:
        figures = f"figures from {publication.results}"
    return "\n".join([*lines, figures])


def main() -> None:
    """Check the publications, then push them, or list them with --dry_run."""
    arguments = parse_arguments()
    publications = prepare_publications(arguments.checkpoint, arguments.repo_id, arguments.folds, arguments.revision)
    visibility = "public" if arguments.public else "private"
    for publication in publications:
        print(describe(publication))
        if not arguments.dry_run:
            print(f"Pushed to {arguments.repo_id} ({visibility}): {push(publication, public=arguments.public)}")
    if arguments.dry_run:
        total = sum(file.size for publication in publications for file in publication.files)
        print(f"\n{CARD_NAME} of {publications[0].revision}:\n{publications[0].card}")
        readers = "everybody could read" if arguments.public else "only you and your organisation could read"
        print(
            f"Dry run: nothing was sent. Without --dry_run {readers} these {total:,} bytes in {len(publications)} "
            f"commits to {arguments.repo_id} ({visibility})."
        )


if __name__ == "__main__":
    run_main(main)
