"""10,000 damaged files through the reader: a clip, a warning or a `VideoReadError`; no crash, no hang, no other error.

Mutants are read in child processes with a deadline, so that a crash or a hang of a decoder fails the test and not the
whole session. FDP_FUZZ_SEED gives other bytes.
"""

import multiprocessing
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from processing_fdp.clip_reading_fdp import VideoReadError, open_frames

SEED = int(os.environ.get("FDP_FUZZ_SEED", "0"))
MUTANTS = {"clip.avi": 3000, "clip.mp4": 3000, "1.jpg": 4000}
# Seconds without a finished mutant after which a decoder hangs; a mutant takes about two milliseconds.
PATIENCE = 60


def mutate(content, random):
    """Flip a few bytes, more often near the start where the headers are; sometimes cut or repeat a stretch."""
    data = bytearray(content)
    for _ in range(int(random.integers(1, 12))):
        reach = len(data) if random.random() < 0.5 else min(len(data), 600)
        position = int(random.integers(0, reach))
        data[position] = int(random.integers(0, 256)) if random.random() < 0.7 else (0, 0xFF)[int(random.integers(2))]
    kind = random.random()
    if kind < 0.08:
        del data[int(random.integers(1, len(data))) :]
    elif kind < 0.12:
        start = int(random.integers(0, len(data)))
        data[start:start] = data[start : start + int(random.integers(1, 400))]
    return bytes(data)


def read_mutants(content, name, folder, numbers, backend, results, log_path):
    """Child process: read each mutant whole and report what came of it; any other error ends the process."""
    # The decoders' own complaints, and the traceback of a failure.
    os.dup2(os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    outcomes = {"read": 0, "refused": 0}
    slowest = 0.0
    path = Path(folder) / name
    for number in numbers:
        results.put(("at", number))
        path.write_bytes(mutate(content, np.random.default_rng((SEED, number))))
        started = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # A picture by itself is no clip; in a list it is a frame of one.
                source = [path] if path.suffix == ".jpg" else path
                with open_frames(source, backend=backend, allow_truncated=bool(number % 3 == 0)) as frames:
                    for indices, gray in frames.iter_chunks(np.arange(min(frames.frame_count, 50))):
                        assert gray.shape == (len(indices), *frames.size_hw) and gray.dtype == np.uint8
            outcomes["read"] += 1
        except VideoReadError as error:
            outcomes["refused"] += 1
            if "\n" in str(error) or str(path)[-8:] not in str(error):
                results.put(("bad", f"mutant {number}: message {error!r}"))
        slowest = max(slowest, time.perf_counter() - started)
    results.put(("done", outcomes, slowest))


def run_mutants(content, name, folder, numbers, backend):
    # Not by fork: a lock that a thread of this process holds would stay locked in the child, and look like a hang.
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    log_path = folder.with_suffix(".log")
    arguments = (content, name, str(folder), numbers, backend, results, str(log_path))
    child = context.Process(target=read_mutants, args=arguments)
    child.start()
    last, bad, done = None, [], None
    deadline = time.monotonic() + PATIENCE
    while done is None and time.monotonic() < deadline:
        if results._reader.poll(0.2):
            message = results.get()
            deadline = time.monotonic() + PATIENCE
            if message[0] == "at":
                last = message[1]
            elif message[0] == "bad":
                bad.append(message[1])
            else:
                done = message[1:]
        elif not child.is_alive():
            break
    child.join(0 if done is None else 10)
    alive = child.is_alive()
    if alive:
        child.kill()
        child.join()
    how = "hung" if alive else f"ended the process with code {child.exitcode}"
    assert done is not None, f"mutant {last} of {name} {how}: {log_path.read_text(errors='replace')[-2000:]}"
    assert not bad, bad[:20]
    return done


@pytest.fixture(scope="module")
def seeds(tmp_path_factory, barcode_frames, write_video, write_frames):
    folder = tmp_path_factory.mktemp("seeds")
    frames = barcode_frames(4, 24, 32)
    write_video(folder / "clip.avi", frames)
    write_video(folder / "clip.mp4", frames, "libx264", "yuv420p")
    write_frames(folder, frames[:1], "{}.jpg")
    return {name: (folder / name).read_bytes() for name in MUTANTS}


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_read_or_refused(name, seeds, tmp_path):
    outcomes, slowest = run_mutants(seeds[name], name, tmp_path, range(MUTANTS[name]), "auto")
    assert outcomes["read"] + outcomes["refused"] == MUTANTS[name]
    # Both must happen, or the mutants test nothing.
    assert min(outcomes.values()) > MUTANTS[name] // 100, outcomes
    assert slowest < PATIENCE / 2
    assert os.listdir(tmp_path) == [name]
