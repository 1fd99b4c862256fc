"""How good predictions are, how sure that is, and what knows as much without looking at morphology.

Nothing here knows of slides, QuPath or PyTorch: predictions of any model can be judged, from arrays or from CSV.
"""

from her2qp.evaluation.alignment import mean_of
from her2qp.evaluation.attentionmaps import AttentionMap
from her2qp.evaluation.baselines import covariates_only, majority_class, out_of_fold, site_only
from her2qp.evaluation.comparison import compare
from her2qp.evaluation.confounding import probe_site, within_site_auc
from her2qp.evaluation.delong import delong_interval, delong_test
from her2qp.evaluation.evaluation import Evaluation, evaluate
from her2qp.evaluation.evidence import Evidence
from her2qp.evaluation.faithfulness import faithfulness_curves, mean_gains
from her2qp.evaluation.intervals import bootstrap, wilson
from her2qp.evaluation.metrics import METRICS, summarise
from her2qp.evaluation.permutation import permutation_null, permuted_labels
from her2qp.evaluation.predictions import Cases, Predictions
from her2qp.evaluation.predictions_file import read_predictions, write_predictions
from her2qp.evaluation.report import write_report
from her2qp.evaluation.thresholds import balanced_threshold, cuts, error_rates

__all__ = [
    "METRICS",
    "AttentionMap",
    "Cases",
    "Evaluation",
    "Evidence",
    "Predictions",
    "balanced_threshold",
    "bootstrap",
    "compare",
    "covariates_only",
    "cuts",
    "delong_interval",
    "delong_test",
    "error_rates",
    "evaluate",
    "faithfulness_curves",
    "majority_class",
    "mean_gains",
    "mean_of",
    "out_of_fold",
    "permutation_null",
    "permuted_labels",
    "probe_site",
    "read_predictions",
    "site_only",
    "summarise",
    "wilson",
    "within_site_auc",
    "write_predictions",
    "write_report",
]
