"""Corpora on the command line: `python -m hub_datasets list`, `describe`, `card`, `check` and `generate`."""

import argparse
import inspect
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from hub_datasets.base import CorpusBuilder
from hub_datasets.card import corpus_card, label_set_rows
from hub_datasets.check import EXIT_UNUSABLE, CheckReport, check_corpus
from hub_datasets.errors import CorpusError, CorpusOptionError
from hub_datasets.registry import CORPUS_NAMES, get_builder_class
from hub_datasets.synthetic.generate import add_generate_arguments, run_generate
from hub_datasets.view import write_page


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments (`Sequence[str]`, *optional*): Words after `python -m hub_datasets`; those of the process when
            omitted.

    Returns:
        `int`: the exit code: 0 on success, 1 when a corpus is usable with losses, 2 otherwise.
    """
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except BrokenPipeError:  # the reading program, e.g. head, closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except CorpusError as error:
        print(f"error: {error}", file=sys.stderr)
        if getattr(options, "json", False):
            print(json.dumps(CheckReport(options.name, "", options.label_set or "").as_json()))
        return EXIT_UNUSABLE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hub_datasets", description="Micro-expression corpora on your disk."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="all corpora with their label sets")
    listing.set_defaults(run=run_list)

    describe = commands.add_parser("describe", help="data sheet and expected folder tree of a corpus")
    describe.add_argument("name", metavar="NAME")
    describe.set_defaults(run=run_describe)

    card = commands.add_parser("card", help="card of a corpus in the form of the Hugging Face Hub")
    card.add_argument("name", metavar="NAME")
    card.add_argument("--output", type=Path, help="file to write; standard output when omitted")
    card.set_defaults(run=run_card)

    check = commands.add_parser("check", help="compare a download with the published counts")
    _add_corpus_arguments(check)
    check.add_argument("--deep", action="store_true", help="open every image and video")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(run=run_check)

    view = commands.add_parser(
        "view",
        help="write one offline HTML page of a download",
        description="Write one HTML file with histograms, and every clip with aligned frames, action units and what "
        "check reports of it. It loads nothing, and nothing is sent anywhere.",
    )
    _add_corpus_arguments(view)
    view.add_argument("--output_file", type=Path, required=True, help="the page, e.g. casme2.html")
    view.add_argument("--limit", type=int, help="clips to show, evenly spread over the sheet; all by default")
    view.add_argument(
        "--allow_face_figures", action="store_true", help="show faces of a corpus whose licence you have checked"
    )
    view.set_defaults(run=run_view)

    generate = commands.add_parser(
        "generate",
        help="render the synthetic corpus",
        description="Render the synthetic corpus. Its exact landmarks lie in each subject's folder, where train.py "
        "--processor_overrides alignment=precomputed finds them.",
    )
    add_generate_arguments(generate)
    generate.set_defaults(run=run_generate)
    return parser


def _add_corpus_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of [`_builder`]."""
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--data_dir", help="root of your licensed download")
    parser.add_argument("--label_set", help="label set; the corpus's first one by default")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="e.g. package=cropped")
    parser.add_argument("--encoding", help="encoding of sheets in CSV that are neither UTF-8 nor UTF-16, e.g. cp932")
    parser.add_argument("--cache_dir", help="where prepared rows are kept")


def _builder(options: argparse.Namespace) -> CorpusBuilder:
    chosen = dict(_option(text) for text in options.option)
    if options.encoding is not None:
        chosen["encoding"] = options.encoding
    return get_builder_class(options.name)(
        data_dir=options.data_dir, config_name=options.label_set, cache_dir=options.cache_dir, **chosen
    )


def run_list(options: argparse.Namespace) -> int:
    """Print all corpora."""
    for name in CORPUS_NAMES:
        builder_class = get_builder_class(name)
        label_sets = ", ".join(label_set.name for label_set in builder_class.LABEL_SETS)
        print(f"{name:<11}{builder_class.TITLE}\n{'':<11}label sets: {label_sets}")
    return 0


def run_describe(options: argparse.Namespace) -> int:
    """Print the data sheet of a corpus."""
    builder_class = get_builder_class(options.name)
    print(inspect.getdoc(builder_class) or builder_class.TITLE)
    print(f"\nAccess: {builder_class.ACCESS_PAGE}\nCite: {builder_class.CITATION}\n\nLabel sets:")
    for label_set in builder_class.LABEL_SETS:
        print(f"  {label_set.name}: {label_set.description} ({', '.join(label_set.names) or 'read from the data'})")
        for _, version, counts, subjects, _ in label_set_rows(label_set) if label_set.expected else ():
            sheet = f" (version {version})" if version else ""
            print(f"    published{sheet}: {counts} clips; subjects: {subjects}")
    print(f"\nErrors of the published sheets that are repaired: {len(builder_class.ERRATA)}")
    for erratum in builder_class.ERRATA:
        print(f"  {erratum.clip} {erratum.field}: {erratum.reason} ({erratum.source})")
    print(f"\nExpected tree:\n{builder_class.EXPECTED_TREE}")
    return 0


def run_card(options: argparse.Namespace) -> int:
    """Print the card of a corpus, or write it to a file."""
    card = corpus_card(get_builder_class(options.name))
    if options.output is None:
        print(card, end="")
        return 0
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(card, encoding="utf-8")
    except OSError as error:
        raise CorpusError(f"the card cannot be written to {options.output} ({error}): choose another file.") from error
    return 0


def run_check(options: argparse.Namespace) -> int:
    """Print the comparison of a download with the published counts."""
    report = check_corpus(_builder(options), deep=options.deep)
    print(json.dumps(report.as_json(), indent=2) if options.json else report.as_text())
    return report.exit_code


def run_view(options: argparse.Namespace) -> int:
    """Write the page of a download."""
    count = write_page(_builder(options), options.output_file, options.allow_face_figures, options.limit)
    print(f"{count} clips in {options.output_file}")
    return 0


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise CorpusOptionError(f"--option takes KEY=VALUE, but {text!r} was given: write e.g. package=cropped.")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
