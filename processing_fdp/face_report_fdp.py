"""How the face of a clip was found, and warnings about it."""

from dataclasses import dataclass

# Largest yaw or pitch in degrees without a warning, because beyond it half of the face is hidden (our choice).
LARGEST_TURN = 35.0
# Least distance of the eyes without a warning: that in a crop of 64 pixels with the default crop_scale, because a
# smaller face is enlarged (our choice).
SMALLEST_EYE_DISTANCE = 24


@dataclass(frozen=True)
class FaceReport:
    """How the face of a clip was found; plain numbers, ready for JSON.

    Args:
        source (`str`):
            Basis of the crop: "given" (landmarks of the caller), "table", "mesh" or one of `DETECTORS` (found in the
            frames), "frame" (the face fills the frame, which is used whole), "unseen" (`alignment="auto"` found no
            face and uses whole frames), "center" (no face was found, and `missing_face` crops the middle) or "none"
            (no search).
        frames_searched (`int`): Frames in which a face was searched.
        frames_seen (`int`): Frames among them that show the face.
        num_faces (`int`): Largest number of faces in one frame.
        eye_distance (`float`, *optional*): Median distance of the eyes in pixels of the source.
        head_pose (`tuple[float, float, float]`, *optional*):
            Median yaw, pitch and roll in degrees, see `FaceTrack.head_pose`; mesh only.
    """

    source: str
    frames_searched: int = 0
    frames_seen: int = 0
    num_faces: int = 0
    eye_distance: float | None = None
    head_pose: tuple[float, float, float] | None = None

    def warnings(self) -> list[str]:
        """Warnings about the face that make any prediction doubtful, one sentence each."""
        sentences = []
        if self.source in ("center", "unseen"):
            region = (
                "the middle of the frame is used"
                if self.source == "center"
                else "the whole frames are used; if they show one cropped face, say so by alignment=none"
            )
            sentences.append(f"no face in the {self.frames_searched} frames that were searched: {region}")
        elif self.frames_seen < self.frames_searched:
            sentences.append(
                f"the face shows in {self.frames_seen} of the {self.frames_searched} frames that were searched: give "
                "the part that shows it"
            )
        if self.num_faces > 1:
            sentences.append(f"{self.num_faces} faces are found and one of them is used: choose it with face=")
        if self.head_pose is not None and max(map(abs, self.head_pose[:2])) > LARGEST_TURN:
            yaw, pitch = self.head_pose[:2]
            sentences.append(
                f"the head is turned by {yaw:.0f} degrees to the side and {pitch:.0f} up: part of the face is hidden"
            )
        if self.eye_distance is not None and self.eye_distance < SMALLEST_EYE_DISTANCE:
            sentences.append(
                f"the eyes are {self.eye_distance:.0f} pixels apart: small motions are lost below "
                f"{SMALLEST_EYE_DISTANCE}"
            )
        return sentences
