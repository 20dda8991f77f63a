"""Step time and energy of a data-parallel group, from its replica's own step on one device.

With the step time t1 and joules e1 of one replica alone, K replicas and the all-reduce time
A = kappa * A_measured(K, gradient bytes):

* a device that is not busy waits for its host, whose part grows with the group's bookkeeping:
  ``compute = t1 (1 + h slack) + d``, where slack falls from 1 to 0 as the mean power e1/t1 rises
  from ``busy - width`` to ``busy`` (shares of the full power);
* part of the transfer is hidden behind the backward pass, no more than a share g of it and no more
  than a share phi of the compute: ``hidden = softmin(g A, phi compute)``;
* ``step = compute + A - hidden``;
* ``energy = K (e1 + (w + s (p1 - p0)) (step - t1) + c S 2 (K - 1)/K)``: while it waits, a device
  draws w watts and somewhat more if its own work draws much; sent bytes cost c joules each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
SHARP = 4.0
"""Exponent of the soft minimum ``(x^-p + y^-p)^(-1/p)``."""
BASE_W = 100.0
"""p0: own power from which the waiting power is counted."""


@dataclass(frozen=True)
class Groups:
    """What is known of some groups, one element each.

    Parameters
    ----------
    alone_s, alone_j
        Seconds and joules of a step of one replica alone.
    replicas
        Number of replicas.
    gradient_bytes
        Bytes that each replica reduces in a step.
    all_reduce_s
        Measured (or modelled) all-reduce seconds of those bytes.
    interconnect
        Index of the interconnect; -1 for one without factors of its own.
    """

    alone_s: FloatArray
    alone_j: FloatArray
    replicas: FloatArray
    gradient_bytes: FloatArray
    all_reduce_s: FloatArray
    interconnect: NDArray[np.int64]

    @property
    def alone_w(self) -> FloatArray:
        """Mean watts of one replica alone."""
        return self.alone_j / self.alone_s


@dataclass(frozen=True)
class StepModel:
    """The step time's parameters; see the module's formula.

    Parameters
    ----------
    bookkeeping
        h.
    busy, width
        Shares of `full_w`.
    constant_s
        d, seconds.
    hidden_transfer, hidden_compute
        g and phi.
    transfer
        kappa of an interconnect without a factor of its own.
    transfers
        kappa of each interconnect.
    full_w
        Watts of a device at full load.
    """

    bookkeeping: float
    busy: float
    width: float
    constant_s: float
    hidden_transfer: float
    hidden_compute: float
    transfer: float
    transfers: FloatArray
    full_w: float

    def seconds(self, groups: Groups) -> FloatArray:
        """Step time of each group."""
        load = groups.alone_w / self.full_w
        slack = np.clip((self.busy - load) / max(self.width, 1e-9), 0.0, 1.0)
        compute = groups.alone_s * (1 + self.bookkeeping * slack) + self.constant_s
        factor = np.append(self.transfers, self.transfer)[groups.interconnect]
        transfer = factor * groups.all_reduce_s
        hidden = soft_minimum(self.hidden_transfer * transfer, self.hidden_compute * compute)
        return np.where(groups.replicas > 1, compute + transfer - hidden, groups.alone_s)


@dataclass(frozen=True)
class EnergyModel:
    """The energy's parameters; see the module's formula.

    Parameters
    ----------
    waiting_w
        w of an interconnect without a figure of its own.
    waitings_w
        w of each interconnect.
    own_share
        s.
    byte_j
        c.
    """

    waiting_w: float
    waitings_w: FloatArray
    own_share: float
    byte_j: float

    def joules(self, groups: Groups, step_s: FloatArray) -> FloatArray:
        """Joules of each group's step, over all its devices."""
        watts = np.append(self.waitings_w, self.waiting_w)[groups.interconnect]
        watts = watts + self.own_share * (groups.alone_w - BASE_W)
        sent = groups.gradient_bytes * 2 * (groups.replicas - 1) / groups.replicas
        waited = watts * (step_s - groups.alone_s)
        return groups.replicas * (groups.alone_j + waited + self.byte_j * sent)


def soft_minimum(a: FloatArray, b: FloatArray) -> FloatArray:
    """``(a^-p + b^-p)^(-1/p)``, at most the smaller one; 0 where one is 0."""
    least, most = np.minimum(a, b), np.maximum(a, b)
    ratio = np.divide(least, most, out=np.zeros_like(least), where=most > 0)
    return least * (1 + ratio**SHARP) ** (-1 / SHARP)
