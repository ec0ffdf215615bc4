"""Corpora on the command line: `python -m hub_datasets list`, `describe`, `check` and `generate`."""

import argparse
import inspect
import json
import os
import sys
from collections.abc import Sequence

from hub_datasets.check import EXIT_UNUSABLE, CheckReport, check_corpus
from hub_datasets.errors import CorpusError, CorpusOptionError
from hub_datasets.registry import CORPUS_NAMES, get_builder_class
from hub_datasets.synthetic.generate import add_generate_arguments, run_generate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments (`Sequence[str]`, *optional*): Words after `python -m hub_datasets`; those of the process when
            omitted.

    Returns:
        `int`: the exit code: 0 when all is well, 1 when a corpus is usable with losses, 2 otherwise.
    """
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except BrokenPipeError:  # the reader, e.g. head, has seen enough
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

    check = commands.add_parser("check", help="what a download holds, beside what was published")
    check.add_argument("name", metavar="NAME")
    check.add_argument("--data_dir", help="root of your licensed download")
    check.add_argument("--label_set", help="label set; the corpus's first one by default")
    check.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="e.g. package=cropped")
    check.add_argument("--cache_dir", help="where prepared rows are kept")
    check.add_argument("--deep", action="store_true", help="open every image and video")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(run=run_check)

    generate = commands.add_parser(
        "generate",
        help="render the synthetic corpus",
        description="Render the synthetic corpus. Its exact landmarks lie in each subject's folder, where train.py "
        "--processor_overrides alignment=precomputed finds them.",
    )
    add_generate_arguments(generate)
    generate.set_defaults(run=run_generate)
    return parser


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
        print(f"  {label_set.name}: {label_set.description} ({', '.join(label_set.names) or 'told by the data'})")
        for size in label_set.expected:
            counts = ", ".join(f"{name} {count}" for name, count in size.counts.items())
            version = f" [{size.variant}]" if size.variant else ""
            subjects = "" if size.subjects is None else f", {size.subjects} subjects"
            print(f"    published{version}: {size.total} clips{subjects}: {counts}")
    print(f"\nKnown errors that are repaired: {len(builder_class.ERRATA)}")
    for erratum in builder_class.ERRATA:
        print(f"  {erratum.clip} {erratum.field}: {erratum.reason} ({erratum.source})")
    print(f"\nExpected tree:\n{builder_class.EXPECTED_TREE}")
    return 0


def run_check(options: argparse.Namespace) -> int:
    """Print what a download holds."""
    builder_class = get_builder_class(options.name)
    chosen = dict(_option(text) for text in options.option)
    builder = builder_class(
        data_dir=options.data_dir, config_name=options.label_set, cache_dir=options.cache_dir, **chosen
    )
    report = check_corpus(builder, deep=options.deep)
    print(json.dumps(report.as_json(), indent=2) if options.json else report.as_text())
    return report.exit_code


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise CorpusOptionError(f"--option takes KEY=VALUE, but {text!r} was given: write e.g. package=cropped.")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
