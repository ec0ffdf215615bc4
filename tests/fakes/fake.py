"""Fake downloads in the true on-disk layouts, for tests and for trying the loaders without a licence.

Nothing here is licensed material: frames are tiny seeded patterns, rows are invented so that class and subject totals
come out as published, and the only clips that carry their real names are those that the
errata of the corpora list.

A corpus's generator is the module `tests/fakes/<name>.py` with `VARIANTS` (names, the first is the default) and
`make(root, variant, full_size, frames, rng)`.
"""

import importlib
import io
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hub_datasets.errors import CorpusOptionError, UnknownCorpusError
from hub_datasets.registry import CORPUS_NAMES

# Every corpus whose generator lies beside this file.
FAKE_CORPORA = tuple(name for name in CORPUS_NAMES if Path(__file__).with_name(f"{name}.py").is_file())
_DISTINCT_FRAMES = 8


def make_fake_corpus(
    name: str,
    root: str | Path,
    variant: str | None = None,
    full_size: bool = False,
    frame_size: int = 16,
    seed: int = 0,
) -> Path:
    """Write a fake download of a corpus.

    Args:
        name (`str`): One of [`FAKE_CORPORA`].
        root (`str` or `Path`): Folder to fill; created if needed.
        variant (`str`, *optional*): Sheet version or package, one of [`fake_variants`]; the usual one when omitted.
        full_size (`bool`, *optional*, defaults to `False`): All rows, so that the published counts come out, instead
            of a few; choose `frame_size=1` with it.
        frame_size (`int`, *optional*, defaults to 16): Height and width of the frames in pixels.
        seed (`int`, *optional*, defaults to 0): Seed of rows and pixels; equal seeds give equal trees.

    Returns:
        `Path`: the root, to be used as `data_dir`.

    Raises:
        UnknownCorpusError: there is no fake of that corpus.
        CorpusOptionError: the corpus has no such variant.
    """
    variants = fake_variants(name)
    if variant is None:
        variant = variants[0]
    if variant not in variants:
        raise CorpusOptionError(
            f"fake {name} has the variants {', '.join(variants)}, but {variant!r} was given: choose one."
        )
    root = Path(root).expanduser().absolute()
    root.mkdir(parents=True, exist_ok=True)
    frames = FrameWriter(frame_size, seed)
    _generator(name).make(root, variant, full_size, frames, random.Random(seed))
    return root


def fake_variants(name: str) -> tuple[str, ...]:
    """Variants of a corpus's fake, the default first."""
    variants: tuple[str, ...] = _generator(name).VARIANTS
    return variants


def _generator(name: str) -> Any:
    if name not in FAKE_CORPORA:
        raise UnknownCorpusError(
            f"a fake corpus is one of {', '.join(FAKE_CORPORA)}, but {name!r} was given: choose one."
        )
    return importlib.import_module(f"tests.fakes.{name}")


class FrameWriter:
    """Writes frames; encodes a handful of seeded patterns once per file type and repeats them.

    Args:
        size (`int`): Height and width in pixels.
        seed (`int`): Seed of the patterns.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self._generator = np.random.default_rng(seed)
        self._encoded: dict[str, list[bytes]] = {}

    def write(self, folder: Path, numbers: Iterable[int], template: str) -> None:
        """Write one frame per number.

        Args:
            folder (`Path`): Created if needed.
            numbers (`Iterable[int]`): Frame numbers.
            template (`str`): File name with a format field, e.g. `img{}.jpg` or `006_{:05d}.jpg`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        patterns = self._patterns(template.rsplit(".", 1)[-1])
        for number in numbers:
            (folder / template.format(number)).write_bytes(patterns[number % len(patterns)])

    def _patterns(self, suffix: str) -> list[bytes]:
        if suffix not in self._encoded:
            encoded = []
            for _ in range(_DISTINCT_FRAMES):
                pixels = self._generator.integers(0, 256, (self.size, self.size), dtype=np.uint8)
                buffer = io.BytesIO()
                Image.fromarray(pixels, mode="L").save(buffer, {"jpg": "JPEG"}.get(suffix, suffix.upper()))
                encoded.append(buffer.getvalue())
            self._encoded[suffix] = encoded
        return self._encoded[suffix]


def spread(
    classes: Mapping[str, int],
    subjects: Mapping[str, int],
    rng: random.Random,
    allowed: Callable[[str, str], bool] | None = None,
    first: Mapping[str, str] | None = None,
) -> list[tuple[str, str]]:
    """Invent (subject, class) pairs whose class totals and subject totals are the given ones.

    Args:
        classes (`Mapping[str, int]`): Clips per class.
        subjects (`Mapping[str, int]`): Clips per subject; the same total.
        rng (`random.Random`): Orders the clips of a subject.
        allowed (`Callable[[str, str], bool]`, *optional*): Whether a subject may have a class.
        first (`Mapping[str, str]`, *optional*): A class that a subject has at least once; its clip comes first.

    Returns:
        `list[tuple[str, str]]`: pairs grouped by subject, in the subjects' order.

    Raises:
        CorpusOptionError: the totals differ or the restrictions cannot be met.
    """
    if sum(classes.values()) != sum(subjects.values()):
        raise CorpusOptionError(
            f"class and subject totals must agree, but are {sum(classes.values())} and {sum(subjects.values())}."
        )
    left = dict(classes)
    hands: dict[str, list[str]] = {subject: [] for subject in subjects}
    for subject, name in (first or {}).items():
        hands[subject].append(name)
        left[name] -= 1
    options = {
        subject: [name for name in classes if allowed is None or allowed(subject, name)] for subject in subjects
    }
    # The subjects with the fewest options choose first, so that those with many are left to balance the totals.
    for subject in sorted(subjects, key=lambda subject: (len(options[subject]), -subjects[subject])):
        hand = []
        for _ in range(subjects[subject] - len(hands[subject])):
            name = max(options[subject], key=lambda name: left[name], default="")
            if not name or left[name] == 0:
                raise CorpusOptionError(f"no class is left for subject {subject!r}: loosen the restrictions.")
            left[name] -= 1
            hand.append(name)
        rng.shuffle(hand)
        hands[subject] += hand
    return [(subject, name) for subject in subjects for name in hands[subject]]
