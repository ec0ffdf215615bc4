"""Push a checkpoint, a run or the rendered corpus to the Hugging Face Hub: one commit each, private by default.

Example:
    fdp-push --checkpoint OUT/folds/sub01 --repo_id me/fdp-casme2 --dry_run
    fdp-push --checkpoint OUT --folds --repo_id me/fdp-casme2
    fdp-push --corpus synthetic --data_dir FACES --repo_id me/rendered-micro-expressions
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from training_fdp.cli import ComplainingParser, run_main, say
from training_fdp.errors import PublishError
from training_fdp.hub.push import MAIN, Publication, push


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line.

    Raises:
        ConfigError: it cannot be parsed.
        PublishError: options that belong to something else than what is pushed.
    """
    summary = (__doc__ or "").splitlines()[0]
    parser = ComplainingParser(description=summary, allow_abbrev=False)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FOLDER_OR_RUN",
        help="a folder in Hub format, or the OUT of a run, of which final/ is pushed",
    )
    source.add_argument("--corpus", metavar="NAME", help="push a corpus as a dataset: the rendered one, synthetic")
    parser.add_argument("--data_dir", type=Path, help="of a corpus: its tree, as `hub_datasets generate` wrote it")
    parser.add_argument("--repo_id", required=True, metavar="NAMESPACE/NAME", help="repository to push to")
    parser.add_argument("--folds", action="store_true", help="of a run, also push each fold, as branch fold-NAME")
    parser.add_argument("--revision", default=MAIN, help="branch to push to (default: %(default)s)")
    parser.add_argument(
        "--benchmark",
        metavar="NAMESPACE/NAME",
        help="dataset repository of the rendered corpus that the checkpoint was judged on: adds .eval_results/",
    )
    parser.add_argument(
        "--without_results", action="store_true", help="push a checkpoint that no run measured, as converted weights"
    )
    parser.add_argument("--public", action="store_true", help="make the repository public (default: private)")
    parser.add_argument("--dry_run", action="store_true", help="list the files to push without sending them")
    options = parser.parse_args(arguments)
    if (options.corpus is None) != (options.data_dir is None):
        raise PublishError("--data_dir is the tree of --corpus, but one of them was given alone; give both.")
    if options.corpus is not None and (options.folds or options.without_results or options.benchmark):
        raise PublishError(
            "--folds, --without_results and --benchmark belong to a checkpoint, but --corpus was given; leave them "
            "out."
        )
    return options


def prepare(options: argparse.Namespace) -> tuple[Publication, ...]:
    """Check what is pushed and make its files; nothing is sent (`tuple[Publication, ...]`, one per commit)."""
    if options.corpus is not None:
        from training_fdp.hub.corpora import prepare_corpus

        return (prepare_corpus(options.corpus, options.data_dir, options.repo_id, options.revision),)
    from training_fdp.hub.publish import prepare_publications

    return prepare_publications(
        options.checkpoint,
        options.repo_id,
        folds=options.folds,
        revision=options.revision,
        without_results=options.without_results,
        benchmark=options.benchmark,
    )


def describe(publication: Publication) -> str:
    """Table of the files of one commit."""
    lines = [f"{publication.revision}: {len(publication.files)} files"]
    for file in publication.files:
        note = "  (made for the Hub, or local paths removed)" if file.made else ""
        lines.append(f"{file.size:>12,} bytes  {file.name}{note}")
    if publication.repo_type == "model":
        figures = "no results.json: the card has no figures"
        if publication.results is not None:
            figures = f"figures from {publication.results}"
        lines.append(figures)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the publications, then push them, or list them with --dry_run.

    Args:
        arguments (`Sequence[str]`, *optional*): Command line without the program's name; that of the process when
            omitted.

    Returns:
        `int`: the exit code, 0.
    """
    options = parse_arguments(arguments)
    publications = prepare(options)
    visibility = "public" if options.public else "private"
    for publication in publications:
        say(describe(publication))
        if not options.dry_run:
            url = push(publication, public=options.public)
            say(f"Pushed to {options.repo_id} ({visibility}): {url}")
    if options.dry_run:
        total = sum(file.size for publication in publications for file in publication.files)
        say(f"\nREADME.md of {publications[0].revision}:\n{publications[0].card}")
        readers = "everybody could read" if options.public else "only you and your organisation could read"
        commits = "1 commit" if len(publications) == 1 else f"{len(publications)} commits"
        say(
            f"Dry run: nothing was sent. Without --dry_run {readers} these {total:,} bytes in {commits} to "
            f"{options.repo_id} ({visibility})."
        )
    return 0


def command() -> NoReturn:
    """Run [`main`] and leave the process with its exit code."""
    run_main(main)
