"""The card of a corpus in the form of the Hugging Face Hub, made from the attributes of its builder."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from string import Template

import yaml

from hub_datasets.base import CorpusBuilder
from hub_datasets.records import Erratum, LabelSet

_TEMPLATE = Path(__file__).with_name("card_template.md")
_LICENSED = (
    "**This card carries no data.** The corpus is licensed per researcher; neither its frames nor its sheets may be\n"
    "passed on, and this package never downloads them. Access is requested at {page}."
)
_ADVICE = (
    "The subjects agreed to research under the licence, not to publication: show no frame that the licence does not "
    "allow.",
    "Expressions were induced in a laboratory, in few subjects of few backgrounds; scores do not carry over to other "
    "people, cameras or occasions. Split by subject, always.",
)
_DOWNLOAD = """
## Download it

{rendered}

```python
from datasets import load_dataset

clips = load_dataset("{repo_id}", split="test")  # a row per clip: `image` at its apex, all of its `frames`, its label
```

The same files as a corpus of this package, with landmark tables and ground truth:

```python
from huggingface_hub import snapshot_download
from hub_datasets import load_corpus

folder = snapshot_download("{repo_id}", repo_type="dataset", revision="<commit>")  # the commit that you have looked at
clips = load_corpus("synthetic", data_dir=folder, {arguments})
```
"""
_ALWAYS = "A micro-expression is a movement, not a feeling, and no proof of a lie. Do not judge people by it."
# Upper limits of the Hub's size categories, in clips.
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
# Sources that errata cite by their key in docs/sources.md; cards spell them out.
SOURCES = {
    "meb": "tvaranka/meb@f731b0a",
    "meb-old": "an older loader by the author of meb",
    "xzq": "xiazhaoqiang/Benchmark-MicroExpressionRec@78d418c",
    "capsule": "davidnvq/me_recognition@cd46da6",
    "mimick": "Justin900429/mimicking-annotation-micro-expression-recognition@b0317b9",
    "neu": "annotation cleaning of a third-party project",
    "MEGC19": "Facial-Micro-ExpressionGC/MEGC2019@2f81d8f",
}


def corpus_card(
    builder_class: type[CorpusBuilder], repo_id: str | None = None, label_set: str | None = None, rendered: str = ""
) -> str:
    """Write the card of a corpus.

    Args:
        builder_class (`type[CorpusBuilder]`): Its builder; it needs no download.
        repo_id (`str`, *optional*): Dataset repository of the card, where a rendered corpus is published with it.
        label_set (`str`, *optional*): Label set of the example; the corpus's first one when omitted.
        rendered (`str`, *optional*): Sentence about the settings that a published corpus was rendered with.

    Returns:
        `str`: Markdown with a YAML header, as the Hub reads it.
    """
    title, _, summary = builder_class.TITLE.partition(": ")
    label_set = label_set or builder_class.LABEL_SETS[0].name
    folder = "" if builder_class.faces_may_be_published else "path/to/your/download"
    data_dir = f'data_dir="{folder}", ' if folder else ""
    advice = [*(builder_class.ADVICE or _ADVICE), _ALWAYS]
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        header=yaml.safe_dump(_header(builder_class, title, repo_id), sort_keys=False, allow_unicode=True),
        title=title,
        summary=f"{summary[:1].upper()}{summary[1:]}." if summary else builder_class.LICENSE,
        terms=builder_class.TERMS or _LICENSED.format(page=builder_class.ACCESS_PAGE),
        data_sheet=_data_sheet(builder_class),
        download=""
        if repo_id is None
        else _DOWNLOAD.format(repo_id=repo_id, rendered=rendered, arguments=f'label_set="{label_set}"'),
        name=builder_class.NAME,
        arguments=f'{data_dir}label_set="{label_set}"',
        folder=f" --data_dir {folder}" if folder else "",
        tree=builder_class.EXPECTED_TREE,
        label_sets=_table(
            ("name", "version", "published clips", "subjects", "use"),
            [row for label_set in builder_class.LABEL_SETS for row in label_set_rows(label_set)],
        ),
        errata=_errata_section(builder_class.ERRATA),
        advice="\n".join(f"- {line}" for line in advice),
        citation=f"\n## Cite\n\n{builder_class.CITATION}" if builder_class.CITATION else "",
    )


def label_set_rows(label_set: LabelSet) -> list[tuple[str, str, str, str, str]]:
    """Rows about a label set: name, sheet version, published counts, published subjects and description."""
    name, use = f"`{label_set.name}`", label_set.description
    if not label_set.expected:
        return [(name, "", f"{', '.join(label_set.names) or 'read from the data'}: not published", "unknown", use)]
    return [
        (
            name,
            size.variant,
            f"{', '.join(f'{word} {count}' for word, count in size.counts.items())} = {size.total}",
            "unknown" if size.subjects is None else str(size.subjects),
            use,
        )
        for size in label_set.expected
    ]


def _header(builder_class: type[CorpusBuilder], title: str, repo_id: str | None) -> dict[str, object]:
    header: dict[str, object] = {"pretty_name": title}
    if builder_class.faces_may_be_published:
        header |= {"license": "apache-2.0"}
    else:
        header |= {"license": "other", "license_name": f"{builder_class.NAME.replace('_', '-')}-licence"}
        if builder_class.ACCESS_PAGE.startswith("http"):
            header["license_link"] = builder_class.ACCESS_PAGE
    tags = ["micro-expression", "facial-expression"]
    header["task_categories"] = ["video-classification"]
    header["tags"] = [*tags, "synthetic"] if builder_class.faces_may_be_published else tags
    largest = max((size.total for label_set in builder_class.LABEL_SETS for size in label_set.expected), default=0)
    if largest:
        header["size_categories"] = [next(name for limit, name in _SIZES if largest < limit)]
    if repo_id is None:
        return {**header, "viewer": False}
    # The Hub finds the images by metadata.parquet; the tree beside them is for load_corpus.
    frames = {"split": "test", "path": ["metadata.parquet", "recordings/**/*.jpg"]}
    return {**header, "configs": [{"config_name": "default", "data_files": [frames]}]}


def _data_sheet(builder_class: type[CorpusBuilder]) -> str:
    """The docstring of a builder without its title and its citation, which the card shows elsewhere."""
    paragraphs = (inspect.getdoc(builder_class) or "").split("\n\n")[1:]
    kept = []
    for paragraph in paragraphs:
        points = paragraph.split("\n* ")
        kept.append("\n* ".join(point for point in points if not point.startswith("**Cite**")))
    text = "\n\n".join(kept)
    return text.replace("\n* ", "\n- ").replace("* ", "- ", 1).replace("\n\nOptions: ", "\n\n**Options:** ")


def _errata_section(errata: tuple[Erratum, ...]) -> str:
    if not errata:
        return ""
    rows = []
    for erratum in errata:
        value = "..".join(map(str, erratum.interval)) if erratum.field == "interval" else str(erratum.right)
        rows.append((erratum.clip, erratum.field, value, erratum.reason, erratum.source))
    named = " ".join(erratum.source for erratum in errata).replace(",", " ").replace(":", " ").split()
    legend = "; ".join(f"{key}: {title}" for key, title in SOURCES.items() if key in named)
    note = f" Sources: {legend}." if legend else ""
    return (
        "\n## Known errors, repaired and reported\n\n"
        "A repair is made only where the sheet holds the listed error, and is written into the `notes` of the "
        f"row.{note}\n\n{_table(('clip', 'field', 'value used', 'why', 'source'), rows)}\n"
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
