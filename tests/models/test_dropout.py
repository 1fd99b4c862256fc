"""Dropout by bytes: as many values as asked for, anew each time, scaled so that the mean stays."""

from __future__ import annotations

import pytest
import torch

from her2qp.models.dropout import Dropout


@pytest.mark.parametrize(("rate", "taken"), [(0.5, 0.5), (0.25, 0.25), (0.1, 26 / 256), (0.999, 255 / 256), (0.0, 0.0)])
def test_share_and_scale(rate: float, taken: float) -> None:
    torch.manual_seed(0)
    dropout, values = Dropout(rate), torch.full((1001, 999), 3.0, requires_grad=True)
    dropped = dropout(values)
    zeros = dropped == 0
    assert zeros.float().mean().item() == pytest.approx(taken, abs=3e-3)
    torch.testing.assert_close(dropped[~zeros], torch.full_like(dropped[~zeros], 3 / (1 - taken)))
    dropped.sum().backward()
    torch.testing.assert_close(values.grad, dropped / 3)
    # Each of the eight places in a drawn word has the same chance.
    by_place = zeros.flatten()[: 8 * 100_000].view(-1, 8).float().mean(dim=0)
    torch.testing.assert_close(by_place, torch.full((8,), taken), rtol=0, atol=8e-3)


def test_anew_each_time_and_not_in_evaluation() -> None:
    dropout, values = Dropout(0.5), torch.ones(50, 3)
    assert not torch.equal(dropout(values), dropout(values))
    assert torch.equal(dropout.eval()(values), values)
