"""Publication of a corpus as a dataset repository: all of a rendered corpus, nothing of a licensed one.

The repository holds the tree as it was rendered, so that `load_corpus("synthetic", data_dir=...)` reads a download of
it like the original, and three files that the Hub reads: `metadata.parquet` with a row per clip, the card, and
`eval.yaml`, which names the tasks that `.eval_results/*.yaml` of models refer to.
"""

import io
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import yaml

from evaluation_fdp.metrics import METRICS
from hub_datasets import get_builder_class, load_corpus
from hub_datasets.card import corpus_card
from hub_datasets.errors import CorpusError
from hub_datasets.records import RENDERED_MANIFEST
from hub_datasets.synthetic.listing import rendered_files, rendered_settings
from hub_datasets.synthetic.settings import GENERATOR_VERSION, CorpusSettings
from training_fdp.errors import PublishError
from training_fdp.hub.push import MAIN, OutgoingFile, Publication, check_repo_id
from training_fdp.hub.scanner import why_refused

if TYPE_CHECKING:
    import datasets

CARD_NAME, METADATA_NAME, EVALUATION_NAME = "README.md", "metadata.parquet", "eval.yaml"
# What could be derived from a licensed corpus, and why none of it may be passed on.
DERIVED = {
    "pixels": "its frames show people who agreed to research under the licence and not to publication",
    "landmarks": "landmarks are measurements of these faces and tell people apart",
    "flow": "optical flow is computed from the frames and shows the faces' shape and movement",
    "sheet rows": "rows of the coding sheet are the owners' annotation and stand under the same licence",
}
# Name of the harness in eval.yaml and .eval_results/*.yaml.
FRAMEWORK = "fdp-micro-expression"
SPLIT = "test"
CONFIG = "default"


def prepare_corpus(name: str, data_dir: Path, repo_id: str, revision: str = MAIN) -> Publication:
    """Check a corpus and make the files of its dataset repository. Nothing is sent, nothing is written.

    Args:
        name (`str`): Name of the corpus.
        data_dir (`Path`): Its tree, as `python -m hub_datasets generate` wrote it.
        repo_id (`str`): `namespace/name` of the dataset repository.
        revision (`str`, *optional*, defaults to `"main"`): Branch.

    Returns:
        `Publication`: What `push` sends.

    Raises:
        PublishError: the corpus is licensed, or the tree holds more or less than was rendered.
        CorpusError: there is no such corpus, or the tree was not rendered.
    """
    check_repo_id(repo_id)
    builder_class = get_builder_class(name)
    if not builder_class.faces_may_be_published:
        reasons = "; ".join(f"{part}, because {reason}" for part, reason in DERIVED.items())
        raise PublishError(
            f"nothing of {name} may be pushed to the Hub, because it is licensed per researcher: no {reasons}; "
            f"`python -m hub_datasets card {name}` writes its card, which has no data."
        )
    settings = rendered_settings(data_dir)
    names = rendered_files(settings)
    _check_tree(data_dir, names, left_behind={CARD_NAME, METADATA_NAME, EVALUATION_NAME})
    own_mix = {label_set.name for label_set in builder_class.LABEL_SETS}
    label_set = settings.mix if settings.mix in own_mix else builder_class.LABEL_SETS[-1].name
    try:
        rows = load_corpus(name, data_dir=data_dir, label_set=label_set)
    except CorpusError as error:
        raise PublishError(f"{data_dir} cannot be read as a corpus: {error}") from error
    card = corpus_card(builder_class, repo_id=repo_id, label_set=label_set, rendered=_rendered(settings))
    made = {
        CARD_NAME: card.encode(),
        METADATA_NAME: metadata_table(rows, data_dir.resolve()),
        EVALUATION_NAME: evaluation_description(builder_class.TITLE, label_set, repo_id),
    }
    files = [OutgoingFile(name, data_dir / name) for name in names]
    files += [OutgoingFile(name, content) for name, content in made.items()]
    for file in files:
        suffix = PurePosixPath(file.name).suffix
        if suffix in (".csv", ".json", ".md", ".yaml") and (reason := why_refused(file.name, file.read())) is not None:
            raise PublishError(f"{file.name} {reason}; remove it from there and push again.")
    ordered = tuple(sorted(files, key=lambda file: file.name))
    message = "Upload the rendered corpus and its card"
    return Publication(repo_id, revision, ordered, card, repo_type="dataset", message=message)


def metadata_table(rows: "datasets.Dataset", root: Path) -> bytes:
    """Write the rows of a corpus for `datasets.load_dataset`: an image per clip, and all of its frames.

    Args:
        rows (`datasets.Dataset`): As `load_corpus` returns them, of a corpus of frames.
        root (`Path`): Root of its tree, without links.

    Returns:
        `bytes`: A Parquet file with the columns of the corpus, the class by its name, and paths relative to the
        folder of this file: `file_name` is the frame at the apex, `frames_file_names` are all frames of the clip.
    """
    import pyarrow as pa
    from pyarrow import parquet

    names = rows.features["label"].names
    table = []
    for row in rows:
        frames = [Path(os.path.relpath(path, root)).as_posix() for path in row["frames"]]
        kept = {name: value for name, value in row.items() if name not in ("frames", "video", "label")}
        label = names[row["label"]]
        table.append({"file_name": frames[row["apex_index"]], "frames_file_names": frames, **kept, "label": label})
    stream = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(table), stream)
    return stream.getvalue()


def evaluation_description(title: str, label_set: str, repo_id: str) -> bytes:
    """Write the `eval.yaml` that makes a dataset repository a benchmark of the Hub: one task per metric (`bytes`)."""
    content = {
        "name": f"{title} ({label_set})",
        "description": (
            f"Clips of rendered faces with the label set {label_set}, judged with whole subjects held out; figures "
            "are pooled over held-out clips and say nothing about recorded people. Run train.py with "
            f"--corpus synthetic --data_dir on a download of {repo_id}."
        ),
        "evaluation_framework": FRAMEWORK,
        "tasks": [{"id": name, "config": CONFIG, "split": SPLIT} for name in METRICS],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110).encode()


def _rendered(settings: CorpusSettings) -> str:
    height, width = settings.size_hw
    faces = "built-in faces" if settings.face_model is None else "faces of a morphable model (ICT-FaceKit)"
    return (
        f"This repository holds {settings.num_clips} clips of {settings.num_subjects} subjects: {faces} of seed "
        f"{settings.seed}, frames of {height} x {width} pixels, difficulty `{settings.difficulty}`, emotions "
        f"`{settings.mix}`, version {GENERATOR_VERSION} of the renderer. `{RENDERED_MANIFEST}` has every setting."
    )


def _check_tree(root: Path, names: set[str], left_behind: set[str]) -> None:
    """Refuse a tree that holds a link, lacks a file of `names`, or holds a file of neither `names` nor `left_behind`.

    Raises:
        PublishError: for the first such file by name.
    """
    found = set()
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder) / name
            relative = path.relative_to(root).as_posix()
            if path.is_symlink():
                raise PublishError(f"{path} is a link, and what it points to may be anything; remove it.")
            if name in files and relative not in names | left_behind:
                raise PublishError(f"{path} was not rendered with this corpus; move it out of the folder.")
        found |= {(Path(folder) / name).relative_to(root).as_posix() for name in files}
    if lost := sorted(names - found):
        raise PublishError(f"{root} lacks {_counted(lost)}; finish it by the command that rendered it.")


def _counted(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more files"
