"""Traffic of a training step under data, tensor and pipeline parallelism.

With t = tensor, d = data, p = pipeline degrees, L layers, P parameters, m micro-batches a step, and
``A = micro_batch * sequence * hidden * width`` bytes of activations between layers,
a rank sends in a step

* tensor parallel: 4 all-reduces of A for each of its ``L / p`` layers and m micro-batches (two in
  the forward, two in the backward pass), ``T = 4 m A L / p`` bytes to reduce,
* data parallel: one all-reduce of its gradients, ``G = P / (t p) * width`` bytes,
* pipeline parallel: ``m A / t`` bytes to the same rank of the next stage (activations; the t ranks
  send a part each) and as many back (their gradients).

An all-reduce of S bytes among n ranks as a ring sends ``2 (n - 1)/n S`` from each rank to the next;
directly, ``2 S / n`` from each rank to each other (reduce-scatter, then all-gather).
Source: Narayanan et al., SC 2021 (Megatron-LM), sections 2 and 3.2. Ranks are numbered as there:
``rank = tensor + t * (data + d * stage)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optalloc.instance.errors import InstanceError
from optalloc.mapping.traffic import Traffic

IntArray = NDArray[np.int64]
Collective = Literal["ring", "all-to-all"]


@dataclass(frozen=True)
class Model:
    """What is trained, in the numbers that decide who sends how much.

    Parameters
    ----------
    parameters
        Number of parameters of the whole model.
    layers, hidden, sequence
        Transformer layers, width of the hidden state, tokens of a sequence.
    micro_batch, micro_batches
        Sequences of a micro-batch, and micro-batches of a step for each replica.
    width
        Bytes of a number.
    """

    parameters: float
    layers: int
    hidden: int
    sequence: int = 4096
    micro_batch: int = 1
    micro_batches: int = 8
    width: int = 2

    def __post_init__(self) -> None:
        wrong = [
            (name, f"expected above 0, got {value}")
            for name, value in vars(self).items()
            if not value > 0
        ]
        if wrong:
            raise InstanceError(wrong, "the model")

    def volumes(self, data: int, tensor: int, pipeline: int) -> tuple[int, int, int]:
        """Bytes of a step: to reduce by data and by tensor groups, and between two stages."""
        active = self.micro_batch * self.sequence * self.hidden * self.width
        return (
            round(self.parameters * self.width / (tensor * pipeline)),
            round(4 * self.micro_batches * active * self.layers / pipeline),
            round(self.micro_batches * active / tensor),
        )


def model_traffic(
    model: Model,
    data: int,
    tensor: int,
    pipeline: int,
    *,
    data_as: Collective = "ring",
    tensor_as: Collective = "ring",
) -> Traffic:
    """Make the traffic of a step of a model; the module's text has the formulas.

    Raises
    ------
    InstanceError
        For degrees below 1.
    """
    _degrees(data, tensor, pipeline)
    gradients, activations, stage = model.volumes(data, tensor, pipeline)
    return parallel_traffic(
        data, tensor, pipeline, gradients, activations, stage, data_as=data_as, tensor_as=tensor_as
    )


def parallel_traffic(
    data: int,
    tensor: int,
    pipeline: int,
    data_bytes: float,
    tensor_bytes: float,
    pipeline_bytes: float,
    *,
    data_as: Collective = "ring",
    tensor_as: Collective = "ring",
) -> Traffic:
    """Make the traffic of ``data * tensor * pipeline`` ranks.

    Parameters
    ----------
    data, tensor, pipeline
        Degrees.
    data_bytes, tensor_bytes
        What the groups all-reduce in a step, a rank.
    pipeline_bytes
        What a rank sends to the next stage in a step, and gets back.
    data_as, tensor_as
        How the groups reduce.

    Returns
    -------
    Traffic
        Whole bytes from rank to rank.

    Raises
    ------
    InstanceError
        For degrees below 1 and bytes below 0.
    """
    _degrees(data, tensor, pipeline)
    rank = np.arange(data * tensor * pipeline).reshape(pipeline, data, tensor)
    parts = [
        _reduce(rank.reshape(-1, tensor), tensor_bytes, tensor_as),
        _reduce(np.moveaxis(rank, 1, 2).reshape(-1, data), data_bytes, data_as),
    ]
    ahead, behind = rank[:-1].ravel(), rank[1:].ravel()
    for a, b in ((ahead, behind), (behind, ahead)):
        parts.append((a, b, np.full(a.size, np.rint(pipeline_bytes))))
    source, target, volume = (np.concatenate(lists) for lists in zip(*parts, strict=True))
    return Traffic.of_pairs(rank.size, source, target, volume)


def ring_traffic(order: Sequence[int], volume: float) -> Traffic:
    """Each rank of a ring sends to the next.

    Parameters
    ----------
    order
        All ranks, as they follow one another.
    """
    ring = np.asarray(order, np.int64)
    return Traffic.of_pairs(ring.size, ring, np.roll(ring, -1), np.full(ring.size, volume))


def _reduce(
    groups: IntArray, size: float, how: Collective
) -> tuple[IntArray, IntArray, NDArray[np.float64]]:
    """Pairs and bytes of an all-reduce of each row."""
    n = groups.shape[1]
    if n == 1:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    if how == "ring":
        source, target = groups.ravel(), np.roll(groups, -1, axis=1).ravel()
        return source, target, np.full(source.size, np.rint(2 * (n - 1) / n * size))
    a, b = np.nonzero(~np.eye(n, dtype=bool))
    source, target = groups[:, a].ravel(), groups[:, b].ravel()
    return source, target, np.full(source.size, np.rint(2 * size / n))


def _degrees(data: int, tensor: int, pipeline: int) -> None:
    stated = {"data": data, "tensor": tensor, "pipeline": pipeline}
    wrong = [(k, f"expected at least 1, got {v}") for k, v in stated.items() if v < 1]
    if wrong:
        raise InstanceError(wrong, "the parallelism")
