"""The spotting network: a few convolutions over time that tell where expressions are and how long they last.

It reads what `network_input` makes of the curves and gives, for every moment, the probability that it is the middle
of an expression, and the distances to both ends. Trained on rendered recordings by `tools/make_spotter.py`; a
checkpoint holds it as `spotter.safetensors`. A checkpoint without the file is served by `spotting_fdp.intervals`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from scipy.ndimage import maximum_filter1d
from torch import nn
from transformers.utils import cached_file

from evaluation_fdp.atomic_files import write_atomically
from evaluation_fdp.errors import ConfigError
from modeling_fdp.movement_directions_fdp import MOTION_SIZE
from spotting_fdp.intervals import Activity, Curves, FoundInterval, mouth_talks, smooth, without_overlap
from spotting_fdp.motion_stream import Motion
from spotting_fdp.network_input import NUM_INPUTS, NUM_OTHERS, network_input
from spotting_fdp.network_input import SMOOTHING as CURVE_SMOOTHING
from spotting_fdp.thresholds import FalseAlarmRates
from training_fdp.hub.prediction import shipped_model

NETWORK_NAME = "spotter.safetensors"
# Raised whenever an old file would give other answers with new code.
FORMAT_VERSION, METADATA_KEY = 2, "spotter"
WIDTH, KERNEL, DROPOUT = 80, 5, 0.15
# Moments between the taps of each layer: the network sees a second on both sides.
DILATIONS = (1, 2, 4, 8, 16)
# Distances are given as logarithms over this many moments, and are at most a fifth and ten times as long.
USUAL_DISTANCE, LEAST_LOG, MOST_LOG = 12.0, -1.6, 2.3
# Smoothing of the probability in moments, and the moments in which one peak is the highest.
SCORE_SMOOTHING, PEAK_SPAN = 1.0, 9


class SpottingNetwork(nn.Module):
    """Curves to probabilities and distances.

    Args:
        rates (`FalseAlarmRates`): How often people at rest set off its scores.
        width (`int`, *optional*, defaults to 80): Channels of its layers.
    """

    others: torch.Tensor

    def __init__(self, rates: FalseAlarmRates, width: int = WIDTH) -> None:
        super().__init__()
        self.rates = rates
        self.register_buffer("others", torch.zeros(MOTION_SIZE, NUM_OTHERS))
        layers: list[nn.Module] = []
        for size, gap in zip((NUM_INPUTS, *[width] * (len(DILATIONS) - 1)), DILATIONS, strict=True):
            layers += [nn.Conv1d(size, width, KERNEL, padding=KERNEL // 2 * gap, dilation=gap)]
            layers += [nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(DROPOUT)]
        self.layers = nn.Sequential(*layers, nn.Conv1d(width, 3, 1))

    def forward(self, curves: torch.Tensor) -> torch.Tensor:
        """Read curves.

        Args:
            curves (`torch.FloatTensor` of shape `(batch_size, NUM_INPUTS, num_moments)`): As of `network_input`.

        Returns:
            `torch.FloatTensor` of shape `(batch_size, 3, num_moments)`: Logit of the middle of an expression, and
            logarithms of the distances to its onset and its offset, over `USUAL_DISTANCE` moments.
        """
        answer: torch.Tensor = self.layers(curves)
        return answer

    @torch.inference_mode()
    def score_runs(self, runs: Sequence[Motion]) -> "list[NetworkRun]":
        """Score the moments of runs, which are compared with all of them together.

        Args:
            runs (`Sequence[Motion]`): Curves of one recording, with those of `others` as `extra`.

        Returns:
            `list[NetworkRun]`: One per run.
        """
        outputs = [self(torch.from_numpy(curves)[None])[0] for curves in network_input(runs)]
        return [_scored(run, output) for run, output in zip(runs, outputs, strict=True)]

    def digest(self) -> str:
        """The first digits of a hash of its weights (`str`), to tell one network from another."""
        weights = b"".join(value.float().numpy().tobytes() for value in self.state_dict().values())
        return hashlib.sha256(weights).hexdigest()[:12]

    def save(self, folder: Path) -> Path:
        """Write the network into the folder of a checkpoint: weights in half precision, its rates as metadata.

        Args:
            folder (`Path`): It exists.

        Returns:
            `Path`: The file.
        """
        halves = {name: value.half() if value.ndim > 1 else value for name, value in self.state_dict().items()}
        # The number of batches that a normalisation has seen decides nothing.
        stored = {name: value.contiguous() for name, value in halves.items() if not name.endswith("tracked")}
        # One entry, because safetensors writes several in any order.
        metadata = {METADATA_KEY: json.dumps({"version": FORMAT_VERSION, "false_alarms": self.rates.to_dict()})}
        path = folder / NETWORK_NAME
        content = save(stored, metadata)
        write_atomically(path, lambda file: file.write(content))
        return path


@dataclass(frozen=True)
class NetworkRun:
    """What the network says about the moments of one run.

    Args:
        first (`int`): Number of its first moment.
        scores (`np.ndarray` of shape `(num_moments,)`): float32 in [0, 1], probability of the middle of an expression.
        distances (`np.ndarray` of shape `(2, num_moments)`): float32, moments to onset and offset.
        whole, upper (`np.ndarray` of shape `(num_moments, num_directions)`): float32, smoothed curves.
        talking (`np.ndarray` of shape `(num_moments,)`): bool.
    """

    first: int
    scores: Curves
    distances: Curves
    whole: Curves
    upper: Curves
    talking: NDArray[np.bool_]

    def activity(self, since: int, until: int) -> Activity:
        """Activity of the moments from `since` to before `until`."""
        part = slice(max(since - self.first, 0), max(until - self.first, 0))
        return Activity(max(self.first, since), self.scores[part], self.talking[part])

    def intervals(self, least_score: float) -> list[FoundInterval]:
        """Intervals around all peaks of at least this score, without overlaps; best first."""
        highest = maximum_filter1d(self.scores, PEAK_SPAN, mode="nearest")
        found = []
        for peak in np.flatnonzero((self.scores >= highest) & (self.scores >= least_score)).tolist():
            before, after = self.distances[:, peak]
            onset, offset = max(round(peak - before), 0), min(round(peak + after), len(self.scores) - 1)
            onset, apex, offset = (self.first + moment for moment in (onset, self._apex(onset, offset, peak), offset))
            found.append(FoundInterval(onset, apex, offset, float(self.scores[peak]), bool(self.talking[peak])))
        return without_overlap(found)

    def _apex(self, onset: int, offset: int, middle: int) -> int:
        """The moment that lies farthest from the straight line between both ends."""
        curves = (self.upper if self.talking[middle] else self.whole)[onset : offset + 1]
        line = np.linspace(curves[0], curves[-1], len(curves))
        return onset + int(np.linalg.norm(curves - line, axis=1).argmax())


def _scored(run: Motion, output: torch.Tensor) -> NetworkRun:
    scores = smooth(output[0].sigmoid().numpy(), SCORE_SMOOTHING)
    distances = (output[1:].clamp(LEAST_LOG, MOST_LOG).exp() * USUAL_DISTANCE).numpy()
    whole, upper = (smooth(curves, CURVE_SMOOTHING) for curves in (run.whole, run.upper))
    return NetworkRun(run.first, scores, distances, whole, upper, mouth_talks(whole, upper))


def find_network(model: str | None = None) -> SpottingNetwork | None:
    """Load the spotting network of a checkpoint.

    Args:
        model (`str`, *optional*): Folder in Hub format, or a repository `namespace/name`; the shipped checkpoint by
            default, if this copy of the package has it.

    Returns:
        `SpottingNetwork`: In evaluation mode; `None` if the checkpoint has none.

    Raises:
        ConfigError: If its file cannot be read.
    """
    if model is None:
        try:
            model = shipped_model()
        except ConfigError:
            return None
    if Path(model).is_dir():
        path = Path(model) / NETWORK_NAME
        return load_network(path) if path.is_file() else None
    try:
        found = cached_file(
            model,
            NETWORK_NAME,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
    except (OSError, HFValidationError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(
            f"the spotting network of {model!r} cannot be fetched: {reason}; check the name, or spot with "
            "--closed_form, which needs none."
        ) from error
    return None if found is None else load_network(Path(found))


def is_unknown(model: str | None) -> bool:
    """Whether nobody knows if a repository has a spotting network that `find_network` did not find.

    Args:
        model (`str`, *optional*): As of `find_network`.

    Returns:
        `bool`: `True` if the Hub could not be asked, and the cache holds neither the file nor the Hub's answer that
        there is none.
    """
    if model is None or Path(model).is_dir():
        return False
    return try_to_load_from_cache(model, NETWORK_NAME) is not _CACHED_NO_EXIST


def load_network(path: Path) -> SpottingNetwork:
    """Load a spotting network from its file.

    Args:
        path (`Path`): `spotter.safetensors`.

    Returns:
        `SpottingNetwork`: In evaluation mode, in single precision.

    Raises:
        ConfigError: If the file is damaged, of another version, or holds other weights.
    """
    try:
        with safe_open(path, framework="pt") as file:
            settings = json.loads((file.metadata() or {})[METADATA_KEY])
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        if settings["version"] != FORMAT_VERSION:
            raise ValueError(f"its version is {settings['version']}, and this package reads {FORMAT_VERSION}")
        width = len(weights["layers.0.weight"])
        network = SpottingNetwork(FalseAlarmRates.checked(**settings["false_alarms"]), width)
        counts = {name: value for name, value in network.state_dict().items() if name.endswith("tracked")}
        network.load_state_dict(counts | weights)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160].rstrip(".")
        raise ConfigError(
            f"a spotting network is a whole {NETWORK_NAME} of this version, but {path} does not load ({reason}); "
            "fetch the file again, make one of this version by `python -m tools.make_spotter`, or spot with "
            "--closed_form, which needs none."
        ) from error
    return network.eval().requires_grad_(False)
