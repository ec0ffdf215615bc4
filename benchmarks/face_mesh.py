"""The face mesh on rendered faces with exact points: `python -m benchmarks face_mesh [--face_model FOLDER]`.

Renders short recordings, pastes them into frames of 640 x 480 and tracks the face. Prints one JSON object per kind of
face: share of frames with a face, distance of the five points from the exact ones, the same without the mean offset of
each point on the other people, because renderer and mesh place a nose tip differently, the change of the distance
between frames (all in eye distances), milliseconds of one core per frame, blinks, and small faces found.
The built-in faces need no files; `--face_model` is a folder of ICT-FaceKit, as for the corpora.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from processing_fdp.crop_geometry_fdp import LANDMARK_NAMES
from processing_fdp.face_mesh_fdp import FaceMeshDetector
from processing_fdp.face_track_fdp import track_face
from rendered_faces.faces import FaceFamily, FaceState
from rendered_faces.film import render_clip
from rendered_faces.procedural.face import ProceduralFaces

HEIGHT, WIDTH, FACE = 480, 640, 400
LEFT, TOP = 120, 40
# Eye distances of the small faces, in pixels.
SMALL = (15, 20, 30)


def families(face_model: Path | None) -> dict[str, FaceFamily]:
    """The face families to render, by name."""
    by_name: dict[str, FaceFamily] = {"built-in": ProceduralFaces()}
    if face_model is not None:
        from rendered_faces.morphable.face import MorphableFaces

        by_name["morphable"] = MorphableFaces(face_model)
    return by_name


def follow(family: FaceFamily, people: int, detector: FaceMeshDetector) -> dict[str, object]:
    """Track the face in one clip of each identity."""
    errors, changes, seconds, shares_seen, blinks = [], [], [], [], [0, 0]
    differences = []
    for seed in range(people):
        clip = render_clip(
            1000 + seed, "happiness", seed=seed, size=FACE, fps=60, difficulty="medium", neutral_s=0.5, family=family
        )
        frames = np.full((len(clip.frames), HEIGHT, WIDTH, 3), 120, np.uint8)
        frames[:, TOP : TOP + FACE, LEFT : LEFT + FACE] = clip.frames[..., None]
        start = time.process_time()
        track = track_face(frames, detector)
        seconds.append((time.process_time() - start) / len(frames))
        exact = clip.truth.five_points + np.array([LEFT, TOP])
        scale = np.linalg.norm(exact[:, 1] - exact[:, 0], axis=-1)[:, None, None]
        difference = (track.five_points - exact) / scale
        differences.append(difference)
        errors.append(np.linalg.norm(difference, axis=-1).mean(axis=0))
        changes.append(np.median(np.linalg.norm(np.diff(difference, axis=0), axis=-1)))
        shares_seen.append(track.share_seen)
        closed = clip.truth.blink > 0.9
        blinks[0] += sum(bool(closed[first : last + 1].any()) for first, last in track.blinks())
        blinks[1] += int(np.count_nonzero(np.diff(closed.astype(int), prepend=0) == 1))
    offsets = np.stack([difference.mean(axis=0) for difference in differences])
    others = (offsets.sum(axis=0) - offsets) / max(1, people - 1)
    centred = [
        np.linalg.norm(difference - other, axis=-1).mean()
        for difference, other in zip(differences, others, strict=True)
    ]
    return {
        "frames_seen": round(float(np.mean(shares_seen)), 4),
        "error": dict(zip(LANDMARK_NAMES, np.mean(errors, axis=0).round(4).tolist(), strict=True)),
        "mean_error": round(float(np.mean(errors)), 4),
        "mean_error_without_offsets": round(float(np.mean(centred)), 4),
        "change_between_frames": round(float(np.mean(changes)), 4),
        "milliseconds_per_frame": round(float(np.median(seconds)) * 1000, 1),
        "blinks_found_of": blinks,
    }


def find_small(family: FaceFamily, people: int, detector: FaceMeshDetector) -> dict[str, str]:
    """Detect one small face in each frame of texture."""
    random = np.random.default_rng(0)
    answers = {}
    for distance in SMALL:
        detected = 0
        for seed in range(people):
            face = family.face(2000 + seed, (320, 320))
            exact = face.five_points(FaceState())
            side = round(320 * distance / float(np.linalg.norm(exact[1] - exact[0])))
            picture = (np.sqrt(np.clip(face.render(FaceState()), 0, 1)) * 255).astype(np.uint8)
            small = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))
            coarse = Image.fromarray(random.integers(40, 216, (24, 32, 3), dtype=np.uint8))
            frame = np.array(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
            top, left = int(random.integers(0, HEIGHT - side)), int(random.integers(0, WIDTH - side))
            frame[top : top + side, left : left + side] = small[..., None]
            exact = (exact + 0.5) * (side / 320) - 0.5 + (left, top)
            faces = detector.detect(frame[None])[0]
            detected += any(np.linalg.norm(one.landmarks - exact, axis=-1).mean() < 0.3 * distance for one in faces)
        answers[f"{distance} pixels between the eyes"] = f"{detected} of {people}"
    return answers


def main() -> None:
    """Measure each face family and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--face_model", type=Path, help="folder of a morphable model, as for the corpora")
    parser.add_argument("--people", type=int, default=8, help="identities per face family")
    options = parser.parse_args()
    torch.set_num_threads(1)
    detector = FaceMeshDetector()
    for name, family in families(options.face_model).items():
        measured = follow(family, options.people, detector)
        print(json.dumps({"faces": name, **measured, "small": find_small(family, options.people, detector)}, indent=2))


if __name__ == "__main__":
    main()
