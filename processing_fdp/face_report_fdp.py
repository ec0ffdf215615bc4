"""How the face of a clip was found, and what about it deserves a warning."""

from dataclasses import dataclass

# Beyond this turn one half of the face hides the other (our choice).
LARGEST_TURN = 35.0
# Distance of the eyes in a crop of 64 pixels with the default crop_scale, below which a face is enlarged (our choice).
SMALLEST_EYE_DISTANCE = 24


@dataclass(frozen=True)
class FaceReport:
    """How the face of a clip was found; plain numbers, ready for JSON.

    Args:
        source (`str`):
            What the crop stands on: "given" (landmarks of the caller), "table", "mesh", "opencv" or "dlib" (found in
            the frames), "frame" (the face fills the frame, which is taken whole), "unseen" (`alignment="auto"` found
            no face and takes the frames whole), "center" (no face was found, and `missing_face` takes the middle) or
            "none" (nothing was searched).
        frames_searched (`int`): Frames in which a face was looked for.
        frames_seen (`int`): Of these, how many show the face.
        num_faces (`int`): Most faces seen at once.
        eye_distance (`float`, *optional*): Between the eyes in pixels of the source, the median.
        head_pose (`tuple[float, float, float]`, *optional*):
            Median yaw, pitch and roll in degrees, see `FaceTrack.head_pose`; only the mesh tells.
    """

    source: str
    frames_searched: int = 0
    frames_seen: int = 0
    num_faces: int = 0
    eye_distance: float | None = None
    head_pose: tuple[float, float, float] | None = None

    def warnings(self) -> list[str]:
        """What about the face makes any answer doubtful: one sentence each."""
        said = []
        if self.source in ("center", "unseen"):
            judged = (
                "the middle of the frame is judged"
                if self.source == "center"
                else ("the whole frames are judged, and the answer means nothing unless they show one cropped face")
            )
            said.append(f"no face in the {self.frames_searched} frames that were searched: {judged}")
        elif self.frames_seen < self.frames_searched:
            said.append(
                f"the face shows in {self.frames_seen} of the {self.frames_searched} frames that were searched"
            )
        if self.num_faces > 1:
            said.append(f"{self.num_faces} faces are seen: one of them is judged, choose it with face=")
        if self.head_pose is not None and max(map(abs, self.head_pose[:2])) > LARGEST_TURN:
            yaw, pitch = self.head_pose[:2]
            said.append(
                f"the head is turned by {yaw:.0f} degrees to the side and {pitch:.0f} up: part of the face is hidden"
            )
        if self.eye_distance is not None and self.eye_distance < SMALLEST_EYE_DISTANCE:
            said.append(
                f"the eyes are {self.eye_distance:.0f} pixels apart: small motions are lost below "
                f"{SMALLEST_EYE_DISTANCE}"
            )
        return said
