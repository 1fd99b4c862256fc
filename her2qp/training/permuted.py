"""What training reaches where there is nothing to learn: mean pooling trained on labels that were dealt anew."""

from __future__ import annotations

import numpy as np

from her2qp.evaluation import Predictions, permuted_labels
from her2qp.training.data import LabelledBags
from her2qp.training.splits import Split


def train_on_permuted_labels(data: LabelledBags, splits: list[Split], times: int, seed: int = 0) -> list[Predictions]:
    """Train a logistic regression on the mean features of the slides, on labels dealt anew to the patients.

    The slide model itself would take hours for this; mean pooling shows what the splits and the site leave to find.

    Parameters
    ----------
    data
        Slides with their true labels.
    splits
        One of each group with the same test rows; all other rows are learnt from.
    times
        How often.
    seed
        Of the deals.

    Returns
    -------
    list of Predictions
        Of all test rows, each with the labels that were dealt.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng, vectors = np.random.default_rng(seed), data.mean_features
    rows = np.concatenate([split.test for split in splits])
    found = []
    for number in range(times):
        dealt = permuted_labels(data.cases, rng)
        probabilities = np.zeros((len(data), len(dealt.classes)))
        for split in splits:
            known = np.concatenate([split.training, split.validation])
            if len(np.unique(dealt.labels[known])) < 2:
                probabilities[split.test] = 1 / len(dealt.classes)
                continue
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
            model.fit(vectors[known], dealt.labels[known])
            probabilities[np.ix_(split.test, model.classes_)] = model.predict_proba(vectors[split.test])
        found.append(dealt.take(rows).judged(probabilities[rows], f"permutation {number + 1}"))
    return found
