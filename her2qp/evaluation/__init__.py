"""How good predictions are, how sure that is, and what knows as much without looking at morphology.

Nothing here knows of slides, QuPath or PyTorch: predictions of any model can be judged, from arrays or from CSV.
"""

from her2qp.evaluation.comparison import compare
from her2qp.evaluation.delong import delong_interval, delong_test
from her2qp.evaluation.intervals import bootstrap, wilson
from her2qp.evaluation.metrics import METRICS, summarise
from her2qp.evaluation.predictions import Cases, Predictions
from her2qp.evaluation.predictions_file import read_predictions, write_predictions

__all__ = [
    "METRICS",
    "Cases",
    "Predictions",
    "bootstrap",
    "compare",
    "delong_interval",
    "delong_test",
    "read_predictions",
    "summarise",
    "wilson",
    "write_predictions",
]
