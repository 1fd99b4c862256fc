"""The temperature that makes probabilities true on validation cases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 0.05, 20.0


def find_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Temperature of the least negative log-likelihood (Guo et al. 2017).

    One number can be found from few cases, and changes no predicted class.

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
        return -float(np.mean(log_softmax(logits / np.exp(logarithm), axis=1)[rows, labels]))

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return float(np.exp(found.x))
