"""The temperature that makes probabilities true on validation cases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 0.05, 20.0
_SPREAD = 0.5
"""Standard deviation of the logarithm of the temperature before any case is seen."""


def find_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Temperature that the cases make likeliest (Guo et al. 2017), where without cases it is 1.

    One number can be found from few cases, and changes no predicted class. Cases that are all right would ask for
    certainty without end: how far they get depends on how many they are.

    Parameters
    ----------
    logits
        Shape (n, c).
    labels
        Class index of each case, shape (n,).

    Returns
    -------
    float
        What to divide logits by, from 0.05 to 20.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    rows = np.arange(len(labels))

    def loss(logarithm: float) -> float:
        likelihood = log_softmax(logits / np.exp(logarithm), axis=1)[rows, labels].sum()
        return float(logarithm**2 / (2 * _SPREAD**2) - likelihood)

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return float(np.exp(found.x))
