"""What figures do not show, in sentences: the comparison with the baselines that a reader might skip."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from her2qp.evaluation.intervals import Interval
from her2qp.evaluation.metrics import METRICS

_JUDGED_BY = ("accuracy", "auc_macro_ovr")
_UNDEFINED_WORTH_SAYING = 0.05


def cautions(
    metrics: Mapping[str, Interval],
    baselines: Mapping[str, Mapping[str, Interval]],
    chance: Mapping[str, Interval],
    within_site: Mapping[str, Interval],
) -> list[str]:
    """Compare figures with what needs no morphology.

    Parameters
    ----------
    metrics
        Of the model.
    baselines
        Metrics of each baseline.
    chance
        With the labels permuted.
    within_site
        AUC of each class within sites; may be empty.
    """
    found = []
    for name in _JUDGED_BY:
        figure, title = metrics[name], METRICS[name].title
        if np.isnan(figure.estimate):
            found.append(f"{title} is not defined: a class is absent.")
            continue
        if figure.undefined > _UNDEFINED_WORTH_SAYING:
            found.append(
                f"{title}: {figure.undefined:.0%} of the resamples lacked a class; its interval is too narrow."
            )
        for baseline, values in baselines.items():
            reached = values[name].estimate
            # Every constant prediction has an AUC of 0.5; the permuted labels say more about that one.
            if figure.low <= reached and not (baseline == "majority class" and name != "accuracy"):
                found.append(
                    f"{title} {figure} is not clearly above what the baseline '{baseline}' reaches, {reached:.3f}."
                )
        if figure.estimate <= chance[name].high:
            found.append(
                f"{title} {figure.estimate:.3f} is within what permuted labels give, up to {chance[name].high:.3f}: "
                "it may be chance."
            )
    found += [
        f"Within sites, the AUC of {name} is {interval}: not clearly above 0.5. What lies above it between sites may "
        "be the site."
        for name, interval in within_site.items()
        if interval.low <= 0.5
    ]
    return found
