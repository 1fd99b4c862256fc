"""Tiles in steps: the same results and gradients in any number of threads, dropout among them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from her2qp.machine import torch_threads
from her2qp.models import steps
from her2qp.models.dropout import Dropout
from her2qp.models.steps import in_steps


class Reader(nn.Module):
    """Reads tiles with weights of its own and with what is shared; one weight is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 5)
        self.dropout = Dropout(0.5)
        self.unused = nn.Parameter(torch.ones(3))

    def step(self, tiles: Tensor, shared: Tensor) -> tuple[Tensor, ...]:
        read = self.dropout(self.linear(tiles)) * shared
        return read, read.argmax(dim=1), read.square().sum(dim=0)

    def outcome(self, lengths: tuple[int, ...] = (7, 9, 8, 1, 5, 3, 9, 4)) -> list[Tensor]:
        """Results and gradients."""
        torch.manual_seed(5)
        tiles = [torch.randn(n, 6, requires_grad=True) for n in lengths]
        shared = torch.randn(5, requires_grad=True)
        results = in_steps(self, [self.step] * len(tiles), tiles, (shared,))
        assert [len(result[0]) for result in results] == list(lengths)
        loss = sum(((read * highest[:, None]).sum() + sums.sum() for read, highest, sums in results), torch.zeros(()))
        wanted = [*tiles, shared, *self.linear.parameters()]
        return [tensor for result in results for tensor in result] + list(torch.autograd.grad(loss, wanted))


@pytest.fixture
def reader() -> Reader:
    torch.manual_seed(0)
    return Reader()


@pytest.fixture
def computed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "REMEMBERED", 0)


@pytest.fixture(params=[1, 2, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with torch_threads(request.param):
        yield request.param


def test_computed_twice_is_the_same(reader: Reader, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reader.eval()
    remembered = reader.outcome()
    monkeypatch.setattr(steps, "REMEMBERED", 0)
    for one, other in zip(reader.outcome(), remembered, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.usefixtures("computed_twice")
def test_dropout_does_not_depend_on_the_threads(reader: Reader) -> None:
    with torch_threads(1):
        alone = reader.outcome()
    for count in (2, 3, 4):
        with torch_threads(count):
            assert all(torch.equal(one, other) for one, other in zip(reader.outcome(), alone, strict=True))


@pytest.mark.usefixtures("computed_twice")
def test_gradients_are_of_what_dropout_had_kept(threads: int) -> None:
    dropout = Dropout(0.5)
    tiles = [torch.ones(40, 3, requires_grad=True) for _ in range(8)]
    results = in_steps(dropout, [lambda run: (dropout(run),)] * 8, tiles)
    torch.stack([kept for (kept,) in results]).sum().backward()  # type: ignore[no-untyped-call]
    for run, (kept,) in zip(tiles, results, strict=True):
        assert torch.equal(torch.as_tensor(run.grad), kept)
    assert len({tuple(kept.flatten().tolist()) for (kept,) in results}) == 8


def test_without_gradients(reader: Reader, threads: int) -> None:
    tiles, shared = [torch.randn(9, 6) for _ in range(9)], torch.randn(5)
    torch.manual_seed(1)
    with torch.no_grad(), torch_threads(1):
        alone = in_steps(reader, [reader.step] * 9, tiles, (shared,))
    torch.manual_seed(1)
    with torch.no_grad():
        results = in_steps(reader, [reader.step] * 9, tiles, (shared,))
    for result, other in zip(results, alone, strict=True):
        assert not any(tensor.requires_grad for tensor in result)
        assert all(torch.equal(one, two) for one, two in zip(result, other, strict=True))


@pytest.mark.usefixtures("computed_twice")
def test_half_precision_reaches_every_thread(reader: Reader, threads: int) -> None:
    tiles = [torch.randn(9, 6) for _ in range(8)]
    seen: list[torch.dtype] = []

    def step(run: Tensor) -> tuple[Tensor]:
        read = reader.linear(run)
        seen.append(read.dtype)
        return (read,)

    with torch.autocast("cpu", torch.bfloat16):
        results = in_steps(reader, [step] * 8, tiles)
    torch.cat([read for (read,) in results]).sum().backward()  # type: ignore[no-untyped-call]
    assert seen == [torch.bfloat16] * 16


@pytest.mark.usefixtures("computed_twice")
def test_as_many_threads_as_are_to_be_used(reader: Reader) -> None:
    at_once: set[tuple[int, int]] = set()
    meeting = threading.Barrier(2)

    def step(run: Tensor) -> tuple[Tensor]:
        meeting.wait(timeout=30)
        at_once.add((threading.get_ident(), torch.get_num_threads()))
        return (run,)

    with torch_threads(2), torch.no_grad():
        in_steps(reader, [step] * 8, [torch.randn(9, 6)] * 8)
        assert torch.get_num_threads() == 2
    assert len(at_once) == 2
    assert {count for _, count in at_once} == {1}
    assert threading.get_ident() not in {name for name, _ in at_once}


@pytest.mark.usefixtures("computed_twice")
def test_what_goes_wrong_in_a_step_is_told(reader: Reader, threads: int) -> None:
    def step(run: Tensor) -> tuple[Tensor]:
        return (run @ torch.ones(5, 5),)

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        in_steps(reader, [step] * 8, [torch.randn(9, 6)] * 8)
    assert torch.get_num_threads() == threads
