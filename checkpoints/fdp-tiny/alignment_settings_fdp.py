"""Settings of the alignment: how faces are found and cropped."""

from dataclasses import dataclass

from .crop_geometry_fdp import AlignmentError
from .face_detectors_fdp import DETECTORS
from .frame_registration_fdp import REGISTRATIONS

ALIGNMENTS = ("auto", "mesh", "precomputed", *DETECTORS, "none")
ALIGNMENT_MODES = ("per_clip", "per_frame")
MISSING_FACE_POLICIES = ("error", "nearest", "center")


@dataclass(frozen=True)
class AlignmentSettings:
    """How faces are found and cropped; see `FDPVideoProcessorKwargs` for each field."""

    size_hw: tuple[int, int] = (64, 64)
    alignment: str = "auto"
    alignment_mode: str = "per_clip"
    crop_scale: float = 2.5
    landmark_frames: int = 5
    face: str | int = "largest"
    min_face_score: float = 0.5
    missing_face: str = "error"
    registration: str = "auto"
    landmark_model_path: str | None = None
    landmarks_path: str | None = None
    mesh_weights: str | None = None

    def __post_init__(self) -> None:
        """Check every setting."""
        self._one_of("alignment", ALIGNMENTS)
        self._one_of("alignment_mode", ALIGNMENT_MODES)
        self._one_of("missing_face", MISSING_FACE_POLICIES)
        self._one_of("registration", ("auto", "none", *REGISTRATIONS))
        if min(self.size_hw) < 1 or self.crop_scale <= 0 or self.landmark_frames < 1:
            raise AlignmentError(
                "size, crop_scale and landmark_frames must be above 0, but got "
                f"{self.size_hw}, {self.crop_scale}, {self.landmark_frames}; change them"
            )
        if self.face != "largest" and (not isinstance(self.face, int) or isinstance(self.face, bool) or self.face < 0):
            raise AlignmentError(
                f"face is 'largest' or a number from 0 on, counted from the left, but got {self.face!r}; change it"
            )

    def _one_of(self, name: str, known: tuple[str, ...]) -> None:
        if getattr(self, name) not in known:
            raise AlignmentError(f"{name} is one of {known}, but got {getattr(self, name)!r}; choose one of them")

    @property
    def registration_model(self) -> str:
        """Model of the registration: "none", "translation" or "similarity"."""
        return "none" if self.registration == "auto" else self.registration
