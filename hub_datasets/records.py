"""The plain data of a corpus file: annotated clips, label sets, errata, packages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from hub_datasets.scanning.cells import OBJECTIVE_CLASSES

# In the root of every rendered tree, whatever its layout; written last, so that a tree without it is unfinished.
RENDERED_MANIFEST = "synthetic_corpus.json"


class ClipEnd(StrEnum):
    """Kind of a clip's last frame."""

    OFFSET = "offset"  # the offset that the sheet (or an erratum) states
    APEX = "apex"  # the sheet has no offset: the clip ends at its apex, before the face relaxes
    RECORDING = "recording"  # the sheet has no interval: the whole folder or video was taken, quiet time included
    UNKNOWN = "unknown"  # the last frame of a folder that the corpus cut, for which no usable offset is published


class Wrong(Enum):
    """Condition on a wrong value that is not known itself."""

    OUTSIDE_INTERVAL = "an apex outside [onset, offset]"
    ANYTHING_ELSE = "any value but the right one"


@dataclass
class ClipRecord:
    """One annotated expression of a sheet, in the corpus's own frame numbers.

    Attributes:
        key (`str`): Key of the clip in errata and label sets, unique within a sheet (`sub01/EP02_01f`; with `/onset`
            where one recording holds several expressions).
        clip_id (`str`): Stable public name, `<corpus>/<recording>/<onset as written in the sheet>`.
        subject (`str`): Subject in the corpus's folder spelling.
        recording (`str`): The recording that the clip was cut from.
        folder_parts (`tuple`): Path from the package's folder to the frames; a part may be a tuple of spellings.
            For a video package, the last part is the stem of the file.
        onset, apex, offset (`int`, *optional*): First, strongest and last frame; `None` where the sheet has none. A
            clip without onset or offset takes every frame of its folder.
        emotion (`str`): The corpus's own word, lower case.
        action_units (`str`): The AU cell as written.
        fps (`float`, *optional*): Frames per second where it differs from the corpus's.
        attributes (`dict`): Further columns that label sets may use, e.g. `{"objective_class": "IV"}`.
        notes (`list[str]`): Repairs so far, with their reasons.
        corpus (`str`): Name of the corpus where it differs from the builder's, as in a composite.
        problem (`str`): Why the clip is lost, where the sheet alone decides it.
        end (`ClipEnd`, *optional*): Kind of the last frame, where the sheet decides it; otherwise set by [`cut_clip`]
            and [`cut_video`].
    """

    key: str
    clip_id: str
    subject: str
    recording: str
    folder_parts: tuple[str | tuple[str, ...], ...]
    onset: int | None
    apex: int | None
    offset: int | None
    emotion: str
    action_units: str = ""
    fps: float | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    corpus: str = ""
    problem: str = ""
    end: ClipEnd | None = None


@dataclass(frozen=True)
class Erratum:
    """One known error of a published sheet; applied only where the sheet holds `wrong`.

    Attributes:
        clip (`str`): `ClipRecord.key`.
        field (`str`): `onset`, `apex`, `offset`, `emotion`, `action_units`, or `interval` for the pair (onset,
            offset).
        wrong (`str`, `int`, `tuple[int, int]` or `Wrong`, *optional*): Value in the sheet; `None` for a missing value,
            a [`Wrong`] where the value is not known.
        right (`str`, `int` or `tuple[int, int]`, *optional*): Correct value.
        reason (`str`): Why it is known to be wrong.
        source (`str`): Who found it: a key of docs/sources.md, or a sheet or paper by name.
        if_frames_agree (`bool`): Apply `right` only where it fits the frames on disk better than the sheet's value
            (fewer missing and surplus frames), because two versions of the sheet disagree. By default
            this is obeyed for `field="interval"`; a corpus whose `fit_to_frames` decides may have other fields.
    """

    clip: str
    field: str
    wrong: str | int | tuple[int, int] | Wrong | None
    right: str | int | tuple[int, int] | None
    reason: str
    source: str
    if_frames_agree: bool = False

    @property
    def interval(self) -> tuple[int, int]:
        """The right onset and offset (`tuple[int, int]`) of an erratum of the field `interval`."""
        if not isinstance(self.right, tuple):
            raise TypeError(f"the right value of an interval is (onset, offset), but {self.clip} has {self.right!r}")
        return self.right


@dataclass(frozen=True)
class Expected:
    """Published size of a label set.

    Attributes:
        counts (`Mapping[str, int]`): Clips per class.
        subjects (`int`, *optional*): Subjects with at least one clip, where published.
        variant (`str`): The sheet version that the figures belong to; '' when there is only one.
    """

    counts: Mapping[str, int]
    subjects: int | None = None
    variant: str = ""

    @property
    def total(self) -> int:
        """Clips of all classes."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class LabelSet:
    """Mapping of the corpus's words to classes; becomes a builder configuration of the same name.

    Attributes:
        name (`str`): Configuration name, e.g. `5class`.
        names (`tuple[str, ...]`): Classes in label order.
        mapping (`Mapping[str, str]`): Corpus word to class; clips of other words are left out.
        description (`str`): Who uses it.
        expected (`tuple[Expected, ...]`): Published sizes, one for each sheet version.
        attribute (`str`): `emotion`, or the key of `ClipRecord.attributes` that holds the word.
        left_out (`frozenset[str]`): Keys of clips that the protocol leaves out.
        left_out_subjects (`frozenset[str]`): Subjects that the protocol leaves out.
    """

    name: str
    names: tuple[str, ...]
    mapping: Mapping[str, str]
    description: str = ""
    expected: tuple[Expected, ...] = ()
    attribute: str = "emotion"
    left_out: frozenset[str] = frozenset()
    left_out_subjects: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        name: str,
        description: str,
        names: Sequence[str],
        *published: tuple[str, int | None, tuple[int, ...]],
        words: Mapping[str, str] | None = None,
        attribute: str = "emotion",
        left_out: frozenset[str] = frozenset(),
        left_out_subjects: frozenset[str] = frozenset(),
    ) -> "LabelSet":
        """Make a label set with its published sizes.

        Args:
            name (`str`): Configuration name, e.g. `5class`.
            description (`str`): Who uses it.
            names (`Sequence[str]`): Classes in label order.
            *published (`tuple`): Sheet version ('' when there is only one), number of subjects (`None` when not
                published) and clips of each class in label order.
            words (`Mapping[str, str]`, *optional*): Corpus word to class; words are the class names when omitted.
            attribute (`str`, *optional*, defaults to `"emotion"`): See [`LabelSet`].
            left_out (`frozenset[str]`, *optional*): See [`LabelSet`].
            left_out_subjects (`frozenset[str]`, *optional*): See [`LabelSet`].

        Returns:
            `LabelSet`: the label set.
        """
        sizes = (
            Expected(dict(zip(names, numbers, strict=True)), subjects, variant)
            for variant, subjects, numbers in published
        )
        mapping = {word: word for word in names} if words is None else words
        return cls(name, tuple(names), mapping, description, tuple(sizes), attribute, left_out, left_out_subjects)

    def class_of(self, record: ClipRecord) -> str | None:
        """Class of a clip, or `None` when this label set leaves it out."""
        if record.key in self.left_out or record.subject in self.left_out_subjects:
            return None
        word = record.emotion if self.attribute == "emotion" else record.attributes.get(self.attribute, "")
        return self.mapping.get(word)

    def expected_for(self, variant: str) -> Expected | None:
        """Published size for a sheet version, or `None` when none is known."""
        return next((size for size in self.expected if size.variant in ("", variant)), None)


def objective_label_sets(
    description: str, counts: tuple[int, ...], subjects: tuple[int | None, int | None], variant: str = ""
) -> tuple[LabelSet, LabelSet]:
    """Label sets of the objective (action unit) classes: `objective` has I to V, `objective7` all seven.

    Args:
        description (`str`): Who uses the first five.
        counts (`tuple[int, ...]`): Published clips of the classes I to VII.
        subjects (`tuple`): Published subjects of the five and of all seven, `None` when not published.
        variant (`str`, *optional*, defaults to `""`): Sheet version that the figures belong to.

    Returns:
        `tuple[LabelSet, LabelSet]`: both; clips carry their class in the attribute `objective_class`.
    """
    five, seven = OBJECTIVE_CLASSES[:5], OBJECTIVE_CLASSES
    attribute = "objective_class"
    return (
        LabelSet.of("objective", description, five, (variant, subjects[0], counts[:5]), attribute=attribute),
        LabelSet.of(
            "objective7", "all seven objective classes", seven, (variant, subjects[1], counts), attribute=attribute
        ),
    )


@dataclass(frozen=True)
class Package:
    r"""One of the forms in which a corpus distributes its frames.

    Attributes:
        name (`str`): Its name in the `package` option.
        path_pattern (`str`): Regular expression searched, ignoring case, in the folder's path below (and with) the
            root.
        child_pattern (`str`): Regular expression that names of its sub-folders match in full, e.g. `sub\d+`.
        only_interval (`bool`): The clip folders hold onset to offset and nothing else, so that surplus frames are an
            error.
        video (`bool`): The package holds video files instead of frame folders.
        fallback (`bool`): The pattern is unspecific, as an empty one is: packages with specific ones go first.
        frame_stem (`str`): Regular expression that the stem of a frame must match in full; '' takes every image.
        frame_suffixes (`tuple[str, ...]`): Suffixes of frames where only some count, e.g. jpg beside depth in png.
    """

    name: str
    path_pattern: str
    child_pattern: str
    only_interval: bool = False
    video: bool = False
    fallback: bool = False
    frame_stem: str = ""
    frame_suffixes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SheetFile:
    """A sheet that a corpus may ship.

    Attributes:
        variant (`str`): Version name, e.g. `2014`; reported by `check`.
        file_pattern (`str`): Regular expression that the file name matches in full, ignoring case.
        role (`str`): `annotation` for the main sheet; other roles are optional companions.
    """

    variant: str
    file_pattern: str
    role: str = "annotation"
