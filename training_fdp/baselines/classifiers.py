"""Fitting and predicting of the baselines: one interface, three ways."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from training_fdp.data.augmentation import AugmentationConfig, build_augmentation

# What maps inputs to probabilities, one row per clip, and the training loss of each epoch.
Fitted = tuple[Callable[[torch.Tensor], NDArray[np.float64]], list[float]]


class Outcome(NamedTuple):
    """What a baseline found in one fold.

    Args:
        probabilities (`np.ndarray` of shape `(num_test_clips, num_labels)`): Rows sum to 1.
        losses (`list[float]`): Training loss of each epoch; empty where there are none.
    """

    probabilities: NDArray[np.float64]
    losses: list[float]


class Classifier(ABC):
    """Learns from the training clips of a fold and gives class probabilities for its test clips."""

    def fit_predict(
        self,
        inputs: torch.Tensor,
        labels: NDArray[np.int64],
        subjects: Sequence[str],
        test_inputs: torch.Tensor,
        num_labels: int,
        seed: int,
    ) -> Outcome:
        """Fit and predict.

        Args:
            inputs (`torch.Tensor` of shape `(num_clips, ...)`): Training inputs.
            labels (`np.ndarray` of shape `(num_clips,)`): Their classes.
            subjects (`Sequence[str]`): Their subjects, for choices that must not look at the test subjects.
            test_inputs (`torch.Tensor` of shape `(num_test_clips, ...)`): Held-out inputs.
            num_labels (`int`): Number of classes, also those without a training clip.
            seed (`int`): Seed of everything random.

        Returns:
            `Outcome`: Probabilities of the test clips.
        """
        predict, losses = self._fit(inputs, labels, subjects, num_labels, seed)
        return Outcome(predict(test_inputs), losses)

    @abstractmethod
    def _fit(
        self, inputs: torch.Tensor, labels: NDArray[np.int64], subjects: Sequence[str], num_labels: int, seed: int
    ) -> Fitted:
        """Learn from the training clips, with the arguments of [`Classifier.fit_predict`]."""


class ClassPrior(Classifier):
    """Every clip gets the class frequencies of the training clips: the prediction is the most frequent class."""

    def _fit(
        self, inputs: torch.Tensor, labels: NDArray[np.int64], subjects: Sequence[str], num_labels: int, seed: int
    ) -> Fitted:
        prior = np.bincount(labels, minlength=num_labels) / len(labels)
        return lambda test_inputs: np.tile(prior, (len(test_inputs), 1)), []


@dataclass(frozen=True)
class LogisticClassifier(Classifier):
    """Standardised features and balanced logistic regression; its strength is chosen on training subjects only.

    Args:
        strengths (`tuple[float, ...]`): Candidate inverse penalties.
        num_inner_folds (`int`): Subject-grouped folds of the training clips that choose among them by UF1.
    """

    strengths: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0)
    num_inner_folds: int = 4

    def _fit(
        self, inputs: torch.Tensor, labels: NDArray[np.int64], subjects: Sequence[str], num_labels: int, seed: int
    ) -> Fitted:
        features = inputs.numpy()
        strength = self._choose_strength(features, labels, np.asarray(subjects), seed)
        model = self._model(strength, seed).fit(features, labels)

        def predict(test_inputs: torch.Tensor) -> NDArray[np.float64]:
            probabilities = np.zeros((len(test_inputs), num_labels))
            probabilities[:, model.classes_] = model.predict_proba(test_inputs.numpy())
            return probabilities

        return predict, []

    def _choose_strength(
        self, features: NDArray[np.float32], labels: NDArray[np.int64], subjects: NDArray[np.str_], seed: int
    ) -> float:
        num_folds = min(self.num_inner_folds, len(np.unique(subjects)))
        if num_folds < 2:
            return self.strengths[len(self.strengths) // 2]
        splits = list(GroupKFold(num_folds).split(features, labels, subjects))
        if any(len(np.unique(labels[train])) < 2 for train, _ in splits):
            return self.strengths[len(self.strengths) // 2]
        scores = []
        for strength in self.strengths:
            predicted = np.empty_like(labels)
            for train, held_out in splits:
                model = self._model(strength, seed).fit(features[train], labels[train])
                predicted[held_out] = model.predict(features[held_out])
            scores.append(f1_score(labels, predicted, average="macro", zero_division=0))
        return self.strengths[int(np.argmax(scores))]

    def _model(self, strength: float, seed: int) -> Any:
        regression = LogisticRegression(C=strength, max_iter=2000, class_weight="balanced", random_state=seed)
        return make_pipeline(StandardScaler(), regression)


@dataclass(frozen=True)
class NetworkClassifier(Classifier):
    """A network trained for a fixed number of epochs: AdamW, one-cycle rate, balanced cross-entropy, mirrored clips.

    The same schedule for every network, VideoMAE's being three times as long, and never one that looked at a test
    subject; on an accelerator where there is one.

    Args:
        build (`Callable`): `build(sample_shape, num_labels)` gives a network for inputs of shape `(batch_size,
            *sample_shape)`.
        epochs (`int`): Passes over the training clips.
        learning_rate (`float`): Highest rate.
        weight_decay (`float`): Weight decay of AdamW.
        batch_size (`int`): Clips per step.
        augmentation (`AugmentationConfig`, *optional*): Changes of stacked frames `(num_frames, height, width)`, those
            of FDP; without it clips are only mirrored.
        mirror_channel (`int`, *optional*): Channel whose sign turns when a clip is mirrored (horizontal flow); `None`:
            none.
    """

    build: Callable[[torch.Size, int], nn.Module]
    epochs: int = 40
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    batch_size: int = 32
    augmentation: AugmentationConfig | None = None
    mirror_channel: int | None = None

    def _fit(
        self, inputs: torch.Tensor, labels: NDArray[np.int64], subjects: Sequence[str], num_labels: int, seed: int
    ) -> Fitted:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = self.build(inputs.shape[1:], num_labels).to(device)
            losses = self._train(network, inputs, torch.from_numpy(labels), num_labels, device)
        network.eval()

        @torch.inference_mode()
        def predict(test_inputs: torch.Tensor) -> NDArray[np.float64]:
            logits = [network(chunk.to(device)) for chunk in test_inputs.split(self.batch_size)]
            return torch.cat(logits).double().softmax(dim=-1).cpu().numpy()

        return predict, losses

    def _train(
        self, network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, num_labels: int, device: torch.device
    ) -> list[float]:
        counts = torch.bincount(labels, minlength=num_labels).clamp_min(1)
        weights = (len(labels) / (num_labels * counts)).float().to(device)
        optimizer = torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        # A last batch of one clip would break batch normalisation: it is left to the next shuffle.
        starts = [start for start in range(0, len(labels), self.batch_size) if len(labels) - start > 1]
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.learning_rate, total_steps=max(1, self.epochs * len(starts)), pct_start=0.15
        )
        network.train()
        losses = []
        for _ in range(self.epochs):
            order, total = torch.randperm(len(labels)), 0.0
            for start in starts:
                chosen = order[start : start + self.batch_size]
                batch = self._change(inputs[chosen]).to(device)
                loss = F.cross_entropy(network(batch), labels[chosen].to(device), weight=weights)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                total += loss.item()
            losses.append(total / max(len(starts), 1))
        return losses

    def _change(self, batch: torch.Tensor) -> torch.Tensor:
        if self.augmentation is None:
            return self._mirror(batch)
        generator = torch.Generator().manual_seed(int(torch.randint(2**31, (1,))))
        augmented = build_augmentation(self.augmentation)({"pixel_values": batch[:, :, None]}, generator)
        return augmented["pixel_values"][:, :, 0]

    def _mirror(self, batch: torch.Tensor) -> torch.Tensor:
        """Mirror each clip with probability one half: emotions have no side."""
        mirrored = batch.flip(-1)
        if self.mirror_channel is not None:
            mirrored[:, self.mirror_channel] *= -1
        chosen = torch.rand(len(batch)) < 0.5
        return torch.where(chosen.reshape(-1, *[1] * (batch.ndim - 1)), mirrored, batch)
