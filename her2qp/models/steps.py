"""Send the tiles of a batch through a model in steps: on all cores, and in training within bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from her2qp.machine import torch_threads
from her2qp.models.dropout import drawing_from

Item = TypeVar("Item")
Result = TypeVar("Result")
Results = tuple[Tensor, ...]

TILES_A_STEP = 2048
"""Tiles that go through a layer together: what is made of them on the way stays in the cache."""

REMEMBERED = 16384
"""Of so many tiles training keeps all that the gradients need; of more it computes most of it anew, step by step, so
that memory grows by little with the tiles."""


def in_steps(
    module: nn.Module,
    functions: Sequence[Callable[..., Results]],
    parts: Sequence[Tensor],
    shared: Sequence[Tensor] = (),
) -> list[Results]:
    """Call a function for each part of a batch's tiles.

    Gradients reach the parts, what is shared and the weights. What dropout draws does not depend on the number of
    threads.

    Parameters
    ----------
    module
        Whose weights the functions read.
    functions
        For each part one that makes tensors of its tiles and of what is shared; the same number of tensors each.
    parts
        Tiles of each part, shape (t, ...).
    shared
        What all functions read besides.

    Returns
    -------
    What each function made, in the order of the parts.
    """
    learning = torch.is_grad_enabled()
    if learning and sum(map(len, parts)) <= REMEMBERED:
        return [function(part, *shared) for function, part in zip(functions, parts, strict=True)]
    device = parts[0].device.type
    precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    seeds = torch.randint(2**62, (len(parts),)).tolist() if module.training else [None] * len(parts)
    steps = [_Step(function, seed, precision) for function, seed in zip(functions, seeds, strict=True)]
    if not learning:
        return _without_gradients(steps, parts, shared)
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    results = _ComputedTwice.apply(steps, len(shared), *parts, *shared, *weights)  # type: ignore[no-untyped-call]
    return _in_groups(results, len(parts))


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item], device: torch.device) -> Iterator[Result]:
    """Work on several items at a time, each on one thread, if there are enough of them and a CPU does it.

    That scales better than layers of which each is split: there is one end to wait at instead of thousands.

    Yields
    ------
    Results in the order of the items.
    """
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    if threads == 1 or len(items) < 2 * threads:
        yield from map(work, items)
        return
    # Threads that start now compute with as many threads as are set now.
    with torch_threads(1), ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, items)


@dataclass(frozen=True, slots=True)
class _Step:
    """A function with what belongs to the thread that wants it called: where dropout draws from, and the precision."""

    function: Callable[..., Results]
    seed: int | None
    precision: torch.dtype | None

    def __call__(self, part: Tensor, *shared: Tensor) -> Results:
        autocast = torch.autocast(part.device.type, self.precision, enabled=self.precision is not None)
        with drawing_from(self.seed, part.device), autocast:
            return self.function(part, *shared)

    def gradients(
        self, read: Sequence[Tensor], weights: Sequence[Tensor], above: Sequence[Tensor | None]
    ) -> list[Tensor | None]:
        """Gradients of what the step reads, and of the weights, from those of its results."""
        with torch.enable_grad():
            inputs = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in read]
            results = self(*inputs)
        pairs = zip(results, above, strict=True)
        known = [(result, gradient) for result, gradient in pairs if result.requires_grad and gradient is not None]
        if not known:
            return [None] * (len(inputs) + len(weights))
        leaves = [tensor for tensor in (*inputs, *weights) if tensor.requires_grad]
        outputs, gradients = zip(*known, strict=True)
        found = iter(torch.autograd.grad(outputs, leaves, gradients, allow_unused=True))
        return [next(found) if tensor.requires_grad else None for tensor in (*inputs, *weights)]


class _ComputedTwice(torch.autograd.Function):
    """Steps of which nothing is remembered but what they read: their results are computed anew for the gradients.

    Unlike checkpoints of PyTorch, whose gradients add up in the weights one after another, these do so side by side.
    """

    @staticmethod
    def forward(ctx: Any, steps: Sequence[_Step], shared: int, *tensors: Tensor) -> Results:
        ctx.steps, ctx.shared = steps, shared
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        results = _without_gradients(steps, tensors[: len(steps)], tensors[len(steps) : len(steps) + shared])
        return tuple(tensor for result in results for tensor in result)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor | None) -> tuple[Any, ...]:
        count = len(ctx.steps)
        parts, others = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        shared, weights = others[: ctx.shared], others[ctx.shared :]

        def differentiate(job: tuple[_Step, Tensor, Sequence[Tensor | None]]) -> list[Tensor | None]:
            step, part, above = job
            return step.gradients((part, *shared), weights, above)

        jobs = list(zip(ctx.steps, parts, _in_groups(above, count), strict=True))
        of_parts: list[Tensor | None] = []
        sums: list[Tensor | None] = [None] * len(others)
        for of_part, *of_others in side_by_side(differentiate, jobs, parts[0].device):
            of_parts.append(of_part)
            sums = [_plus(total, more) for total, more in zip(sums, of_others, strict=True)]
        return None, None, *of_parts, *sums


def _without_gradients(steps: Sequence[_Step], parts: Sequence[Tensor], shared: Sequence[Tensor]) -> list[Results]:
    @torch.no_grad()  # which holds for one thread
    def carry_out(job: tuple[_Step, Tensor]) -> Results:
        step, part = job
        return step(part, *shared)

    return list(side_by_side(carry_out, list(zip(steps, parts, strict=True)), parts[0].device))


def _in_groups(values: Sequence[Result], count: int) -> list[tuple[Result, ...]]:
    size = len(values) // count
    return [tuple(values[start : start + size]) for start in range(0, len(values), size)]


def _plus(total: Tensor | None, more: Tensor | None) -> Tensor | None:
    if total is None or more is None:
        return more if total is None else total
    return total + more
