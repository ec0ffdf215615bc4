"""Tables of several runs on the same clips."""

from collections.abc import Mapping
from pathlib import Path

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.intervals import CONFIDENCE, Interval, SubjectCounts, paired_intervals
from evaluation_fdp.markdown import markdown_table
from evaluation_fdp.metrics import HEADLINE, METRICS
from evaluation_fdp.pooled_results import PREDICTIONS_NAME, read_predictions
from evaluation_fdp.results import Benchmark, Results


def comparison_table(
    results: Mapping[str, Results],
    titles: Mapping[str, str],
    reference: str | None = None,
    more_columns: Mapping[str, Mapping[str, str]] | None = None,
    differences: Mapping[str, Interval] | None = None,
    shows_guessing: bool = True,
) -> str:
    """Lay out the pooled figures of several methods as Markdown.

    Args:
        results (`Mapping[str, Results]`): Results by name, of the same clips; not empty.
        titles (`Mapping[str, str]`): Titles by name; the name itself where there is none.
        reference (`str`, *optional*): Name of the method to compare with: a column then holds the difference in UF1
            points of the others.
        more_columns (`Mapping[str, Mapping[str, str]]`, *optional*): Cells by heading and name, put at the end; empty
            where there is none.
        differences (`Mapping[str, tuple[float, float]]`, *optional*): By name the 95% interval of the difference in
            UF1; see [`paired_differences`].
        shows_guessing (`bool`, *optional*, defaults to `True`): Add the line of guessing by the class shares, first.

    Returns:
        `str`: One line per method, mean and deviation over seeds, those with missing folds marked.

    Raises:
        ConfigError: two methods differ in clips or protocol, or one has no held-out subject.
    """
    benchmarks = {name: _benchmark_of(name, run) for name, run in results.items()}
    _require_same_clips(results, benchmarks)
    title = METRICS[HEADLINE].title
    header = ["method", *(metric.title for metric in METRICS.values()), f"95% interval of {title}", "seeds"]
    # Class counts of unfinished runs are incomplete, so chance is that of a finished run where there is one.
    fullest = max(results, key=lambda name: results[name].complete)
    chance = benchmarks[fullest].chance["prior"]
    guessing = ["guessing by the class shares", *(f"{chance[name]:.3f}" for name in METRICS), "", ""]
    rows = {name: _cells(titles.get(name, name), results[name], run) for name, run in benchmarks.items()}
    columns = dict(more_columns or {})
    if reference in benchmarks:
        columns = {**_differences(benchmarks, reference, differences or {}), **columns}
    for heading, cells in columns.items():
        header.append(heading)
        guessing.append("")
        for name, row in rows.items():
            row.append(cells.get(name, ""))
    return markdown_table(header, [*([guessing] if shows_guessing else []), *rows.values()])


def paired_differences(
    results: Mapping[str, Results], folders: Mapping[str, Path], reference: str, confidence: float = CONFIDENCE
) -> dict[str, Interval]:
    """Compute the intervals over subjects of the difference in UF1 between runs and a reference run.

    Args:
        results (`Mapping[str, Results]`): Results by name.
        folders (`Mapping[str, Path]`): The OUT of each, with its predictions.csv.
        reference (`str`): Name of the reference run.
        confidence (`float`, *optional*, defaults to 0.95): Mass inside each interval, in (0, 1).

    Returns:
        `dict[str, tuple[float, float]]`: `(low, high)` by name, without the reference; runs with missing folds are
            left out, because they lack clips.

    Raises:
        ResultsError: a predictions.csv that does not fit its results.
    """
    complete = [name for name, run in results.items() if run.complete and run.benchmark is not None]
    if reference not in complete:
        return {}
    counts = {name: _counts(folders[name], results[name]) for name in complete}
    others = [name for name in complete if name != reference]
    return {name: paired_intervals(counts[name], counts[reference], confidence)[HEADLINE] for name in others}


def distinct_runs(
    results: Mapping[str, Results], folders: Mapping[str, Path], reference: str, confidence: float = CONFIDENCE
) -> list[str]:
    """Name the runs whose UF1 differs from the reference's when all are compared with it (Holm, 1979).

    Of k intervals that are each right in 95% of cases more than one in twenty tables has a wrong one. Holm's step-down
    procedure keeps the chance of any wrong name at 5%: with m runs left, those are named whose interval of mass
    1 - 0.05 / m excludes 0, until none is.

    Args:
        results (`Mapping[str, Results]`): Results by name.
        folders (`Mapping[str, Path]`): The OUT of each, with its predictions.csv.
        reference (`str`): Name of the reference run.
        confidence (`float`, *optional*, defaults to 0.95): Chance that no name is wrong, in (0, 1).

    Returns:
        `list[str]`: Their names, in the order of `results`.

    Raises:
        ResultsError: a predictions.csv that does not fit its results.
    """
    left = {name: run for name, run in results.items() if run.complete and run.benchmark is not None}
    found: set[str] = set()
    while len(left) > 1 and reference in left:
        one_by_one = 1 - (1 - confidence) / (len(left) - 1)
        differences = paired_differences(left, folders, reference, one_by_one)
        new = {name for name, (low, high) in differences.items() if low > 0 or high < 0}
        if not new:
            break
        found |= new
        left = {name: run for name, run in left.items() if name not in new}
    return [name for name in results if name in found]


def _counts(folder: Path, results: Results) -> SubjectCounts:
    seeds = read_predictions(folder / PREDICTIONS_NAME, results.class_names)
    return SubjectCounts.of(seeds, len(results.class_names))


def _cells(title: str, results: Results, benchmark: Benchmark) -> list[str]:
    several = len(benchmark.per_seed) > 1
    low, high = benchmark.interval[HEADLINE]
    figures, deviation = benchmark.figures, benchmark.deviation
    return [
        title + ("" if results.complete else " (folds missing)"),
        *(f"{figures[name]:.3f}" + (f" ± {deviation[name]:.3f}" if several else "") for name in METRICS),
        f"{low:.3f} to {high:.3f}",
        str(len(benchmark.per_seed)),
    ]


def _differences(
    benchmarks: Mapping[str, Benchmark], reference: str, intervals: Mapping[str, Interval]
) -> dict[str, dict[str, str]]:
    """The column of differences and, where there is one, that of their intervals."""
    base = benchmarks[reference].figures[HEADLINE]
    points = f"{METRICS[HEADLINE].title} points"
    cells = {
        name: f"{100 * (benchmark.figures[HEADLINE] - base):+.1f}"
        for name, benchmark in benchmarks.items()
        if name != reference
    }
    columns = {points: cells}
    if intervals:
        columns["95% interval of them"] = {
            name: f"{100 * low:+.1f} to {100 * high:+.1f}" for name, (low, high) in intervals.items()
        }
    return columns


def _benchmark_of(name: str, results: Results) -> Benchmark:
    if results.benchmark is None:
        raise ConfigError(
            f"{name} has no held-out subjects, so it has no figures to compare; leave it out of the table"
        )
    return results.benchmark


def _require_same_clips(results: Mapping[str, Results], benchmarks: Mapping[str, Benchmark]) -> None:
    first, *others = results
    for name in others:
        pairs: list[tuple[str, object, object]] = [
            ("corpus", results[first].corpus, results[name].corpus),
            ("test_corpus", results[first].test_corpus, results[name].test_corpus),
            ("label_set", results[first].label_set, results[name].label_set),
            ("protocol", results[first].protocol, results[name].protocol),
        ]
        # Class counts of unfinished runs are incomplete, so they are not compared.
        if results[first].complete and results[name].complete:
            pairs.append(("class_counts", benchmarks[first].class_counts, benchmarks[name].class_counts))
        for field, expected, given in pairs:
            if given != expected:
                raise ConfigError(
                    f"a table compares methods on the same clips, but {field} of {first} is {expected} and of {name} "
                    f"{given}; give each corpus and protocol an --output_dir of its own"
                )
