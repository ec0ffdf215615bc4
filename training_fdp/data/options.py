"""Options of the clips: corpora, preparation and batches."""

from dataclasses import dataclass
from typing import Literal

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.options import option, require


@dataclass
class DataOptions:
    """Which clips there are, and how they are read and aligned."""

    corpus: list[str] = option(
        [], "Corpus, or several to train on together (`synthetic`, `casme2`, ...).", decides="clips"
    )
    data_dir: list[str] = option(
        [], "Folder of each corpus, in the same order. `synthetic` needs none.", decides="nothing"
    )
    label_set: str | None = option(
        None, "Label set of the corpus (`5class`, `3class`, ...); its default otherwise.", decides="clips"
    )
    corpus_options: list[str] = option(
        [],
        "Options of the corpora as NAME=VALUE (`package=cropped`, ...); CORPUS.NAME=VALUE for one alone.",
        decides="clips",
    )
    test_corpus: list[str] = option([], "cross_corpus: test corpora, one fold each.", decides="clips")
    test_data_dir: list[str] = option(
        [], "cross_corpus: folders of the test corpora, in the same order.", decides="nothing"
    )
    processor_overrides: list[str] = option(
        [], "Settings of the video processor as NAME=VALUE (`alignment=...`).", decides="clips"
    )
    allow_lost_clips: bool = option(
        False, "Leave out clips that cannot be used (no frames, ...), and warn in the results, instead of refusing."
    )
    cache_dir: str | None = option(None, "Folder of aligned clips; default: the datasets cache.", decides="nothing")
    num_proc: int | None = option(None, "Processes that align clips; default: the machine's cores.", decides="nothing")

    def __post_init__(self) -> None:
        """Check every value."""
        require(self, "num_proc", self.num_proc is None or self.num_proc >= 1, "a whole number from 1 on")


@dataclass
class BatchOptions:
    """Frames, normalisation and augmentation of the clips in a batch."""

    augmentation: str = option(
        "default",
        "Augmentation: `none`, `default`, `any_window`, NAME=VALUE pairs, or a name followed by pairs, joined by "
        "commas: `default,flip=0`. The names are the fields of `AugmentationConfig`.",
    )
    frame_sampling: Literal["linspace", "apex", "released_stride"] = option(
        "linspace",
        "Even, both ends included; `apex` also includes the coded apex, which a new video lacks; `released_stride`: "
        "frames 0, L//T, 2(L//T), ... as in the authors' code.",
    )
    normalization: Literal["fixed", "train_statistics"] = option(
        "fixed", "`train_statistics`: minus the mean, over the maximum, of the fold's training clips."
    )
    released_test_statistics: bool = option(
        False,
        "Leak of the authors' release, for ablations: test clips are normalised with their own statistics.",
    )

    def __post_init__(self) -> None:
        """Refuse test statistics without training statistics."""
        if self.released_test_statistics and self.normalization != "train_statistics":
            raise ConfigError(
                "--released_test_statistics replaces the training statistics, but normalization is "
                f"'{self.normalization}'; add --normalization train_statistics or drop the switch"
            )
