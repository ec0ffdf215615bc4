"""Thresholds of the spotter as rates of false alarms.

How often people at rest reach each threshold was measured on rendered people on whom no other figure was measured, by
the commands in docs/results/spotting.md. Real people at rest, who swallow, sniff and nod, reach it more often.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from evaluation_fdp.errors import ConfigError


@dataclass(frozen=True)
class FalseAlarmRates:
    """How often people at rest reach each score.

    Args:
        measured (`tuple` of pairs of `float`): Least scores, rising, and false alarms a minute, falling.
        usual (`float`): The rate that is asked for where nobody asks for one, among those measured.
    """

    measured: tuple[tuple[float, float], ...]
    usual: float

    @classmethod
    def unmeasured(cls) -> Self:
        """Rates of a network that is still in training."""
        return cls(((0.5, 1.0),), 1.0)

    @classmethod
    def checked(cls, measured: Sequence[Sequence[float]], usual: float) -> Self:
        """Rates that come from a file.

        Raises:
            ValueError: If they are not falling, or the usual one is not among those measured.
            TypeError: If something is no number.
        """
        rates = cls(tuple((float(score), float(rate)) for score, rate in measured), float(usual))
        scores, alarms = np.array(rates.measured, dtype=np.float64).reshape(-1, 2).T
        rising = bool(len(scores) and (np.diff(scores) > 0).all() and (np.diff(alarms) < 0).all() and alarms[-1] > 0)
        if not (rising and rates.fewest <= rates.usual <= rates.most):
            raise ValueError("its rates of false alarms do not fall with rising scores")
        return rates

    def to_dict(self) -> dict[str, object]:
        """Arguments of `checked`, ready for JSON (`dict`)."""
        return {"measured": [list(pair) for pair in self.measured], "usual": self.usual}

    @property
    def fewest(self) -> float:
        """Lowest rate that was measured."""
        return self.measured[-1][1]

    @property
    def most(self) -> float:
        """Highest rate that was measured."""
        return self.measured[0][1]

    def least_score(self, false_alarms_per_minute: float | None = None) -> float:
        """Return the threshold that people at rest reach at this rate.

        Args:
            false_alarms_per_minute (`float`, *optional*): From `fewest` to `most`; `usual` by default.

        Returns:
            `float`: Least score of an expression; between measured rates linear in the logarithm of the rate.

        Raises:
            ConfigError: If the rate lies outside.
        """
        rate = self.usual if false_alarms_per_minute is None else false_alarms_per_minute
        if not self.fewest <= rate <= self.most:
            raise ConfigError(
                f"false alarms a minute are given from {self.fewest:g} to {self.most:g}, where they were measured, "
                f"but {rate} was given; choose a rate in between."
            )
        scores, rates = zip(*reversed(self.measured), strict=True)
        return float(np.interp(math.log(rate), np.log(rates), scores))


# Of `spotting_fdp.intervals`: on six rendered people in 12.7 minutes (difficulty `medium`, 60 frames a second). Lower
# rates are not listed, because too few were counted. F1 is highest at 3 and at somewhat higher rates, on the people of
# seed 83001 and on those of docs/results/spotting.md, whose table had been seen when this was chosen.
CLOSED_FORM = FalseAlarmRates(
    ((4.0, 10.8), (5.0, 6.2), (6.0, 3.7), (7.0, 2.1), (8.0, 1.2), (9.0, 0.63), (12.0, 0.47)), usual=3.0
)
