"""Baselines without gradient descent: class frequencies, and logistic regression on a few features."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

# Maps inputs to probabilities, one row per clip.
Fitted = Callable[[torch.Tensor], NDArray[np.float64]]


class Classifier(ABC):
    """Fits the training clips of a fold and predicts class probabilities of its test clips."""

    def fit_predict(
        self,
        inputs: torch.Tensor,
        labels: NDArray[np.int64],
        subjects: Sequence[str],
        test_inputs: torch.Tensor,
        num_labels: int,
        seed: int,
    ) -> NDArray[np.float64]:
        """Fit and predict.

        Args:
            inputs (`torch.Tensor` of shape `(num_clips, ...)`): Training inputs.
            labels (`np.ndarray` of shape `(num_clips,)`): Their classes.
            subjects (`Sequence[str]`): Their subjects, for inner splits.
            test_inputs (`torch.Tensor` of shape `(num_test_clips, ...)`): Held-out inputs.
            num_labels (`int`): Number of classes, also those without a training clip.
            seed (`int`): Seed of everything random.

        Returns:
            `np.ndarray` of shape `(num_test_clips, num_labels)`: Probabilities of the test clips; rows sum to 1.
        """
        return self._fit(inputs, labels, subjects, num_labels, seed)(test_inputs)

    @abstractmethod
    def _fit(
        self, inputs: torch.Tensor, labels: NDArray[np.int64], subjects: Sequence[str], num_labels: int, seed: int
    ) -> Fitted:
        """Fit the training clips, with the arguments of [`Classifier.fit_predict`]."""


class ClassPrior(Classifier):
    """Every clip gets the class frequencies of the training clips: the prediction is the most frequent class."""

    def _fit(
        self, inputs: torch.Tensor, labels: NDArray[np.int64], subjects: Sequence[str], num_labels: int, seed: int
    ) -> Fitted:
        prior = np.bincount(labels, minlength=num_labels) / len(labels)
        return lambda test_inputs: np.tile(prior, (len(test_inputs), 1))


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

        return predict

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

    def _model(self, strength: float, seed: int) -> Pipeline:
        regression = LogisticRegression(C=strength, max_iter=2000, class_weight="balanced", random_state=seed)
        return make_pipeline(StandardScaler(), regression)
