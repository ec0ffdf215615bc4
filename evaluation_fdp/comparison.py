"""Tables of several runs on the same clips."""

from collections.abc import Mapping
from typing import Any

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.markdown import markdown_table

# Figures stand in one table only where these agree.
_SAME_CLIPS = ("corpus", "test_corpus", "label_set", "protocol")
_COLUMNS = {"uf1": "UF1", "uar": "UAR", "accuracy": "accuracy", "f1_weighted": "weighted F1"}


def comparison_table(
    results: Mapping[str, Mapping[str, Any]],
    titles: Mapping[str, str],
    reference: str | None = None,
    more_columns: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """Lay out the pooled figures of several methods as Markdown.

    Args:
        results (`Mapping[str, Mapping]`): Contents of results.json by name, of the same clips; not empty.
        titles (`Mapping[str, str]`): What the table calls them; the name itself where there is none.
        reference (`str`, *optional*): Name that the others are compared with: a column then holds their difference in
            UF1 points.
        more_columns (`Mapping[str, Mapping[str, str]]`, *optional*): Cells by heading and name, put at the end; empty
            where there is none.

    Returns:
        `str`: One line per method, mean and deviation over seeds, those with missing folds marked; guessing by the
        class shares comes first.

    Raises:
        ConfigError: two methods ran on other clips or by another protocol.
    """
    _require_same_clips(results)
    header = ["method", *_COLUMNS.values(), "95% interval of UF1", "seeds"]
    base = results[reference]["metrics"]["uf1"] if reference is not None and reference in results else None
    if base is not None:
        header.append("UF1 points")
    # Where folds are missing, so are clips.
    chance = max(results.values(), key=lambda found: found["complete"])["chance"]["prior"]
    rows = [["guessing by the class shares", *(f"{chance[name]:.3f}" for name in _COLUMNS), "", ""]]
    for key, found in results.items():
        num_seeds = len(found["per_seed"])
        cells = [
            f"{found['metrics'][name]:.3f}" + (f" ± {found['deviation'][name]['std']:.3f}" if num_seeds > 1 else "")
            for name in _COLUMNS
        ]
        low, high = found["interval"]["uf1"]
        title = titles.get(key, key) + ("" if found["complete"] else " (folds missing)")
        rows.append([title, *cells, f"{low:.3f} to {high:.3f}", str(num_seeds)])
        if base is not None:
            rows[-1].append("" if key == reference else f"{100 * (found['metrics']['uf1'] - base):+.1f}")
    if base is not None:
        rows[0].append("")
    for heading, cells_by_name in (more_columns or {}).items():
        header.append(heading)
        for key, row in zip(["", *results], rows, strict=True):
            row.append(cells_by_name.get(key, ""))
    return markdown_table(header, rows)


def _require_same_clips(results: Mapping[str, Mapping[str, Any]]) -> None:
    first, *others = results
    for name in others:
        facts = list(_SAME_CLIPS)
        # Where folds are missing, so are clips.
        if results[first]["complete"] and results[name]["complete"]:
            facts.append("class_counts")
        for fact in facts:
            if results[name][fact] != results[first][fact]:
                raise ConfigError(
                    f"a table compares methods on the same clips, but {fact} of {first} is {results[first][fact]} and "
                    f"of {name} {results[name][fact]}; give each corpus and protocol an --output_dir of its own"
                )
