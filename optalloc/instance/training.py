"""Jobs that train data-parallel: what is stated of them instead of a configuration table."""

from __future__ import annotations

from optalloc.instance.field import Named, Several, Stated, kept
from optalloc.instance.policy import Number


class Alone(Stated, frozen=True):
    """One replica alone on a device of some type.

    Parameters
    ----------
    step_s, step_j
        Seconds and joules of a step.
    demand
        Demand of a replica on such a device, as in `Configuration`.
    """

    step_s: Number
    step_j: Number
    demand: Named[Number] = kept({})


class Link(Stated, frozen=True):
    """How members of a level reach one another, for the latency-bandwidth model.

    Parameters
    ----------
    latency_s, bandwidth
        Seconds and bytes/s.
    """

    latency_s: Number
    bandwidth: Number


class Job(Stated, frozen=True):
    """A job that trains data-parallel.

    Parameters
    ----------
    batch
        Samples of a replica's step.
    gradient_bytes
        Bytes that each replica reduces in a step: parameters times bytes of an element.
    alone
        What is known of one replica, by device type.
    replicas
        Sizes that it can have; one size is a rigid job, several are an elastic one.
    """

    batch: Number
    gradient_bytes: Number
    alone: Named[Alone]
    replicas: Several[int] = kept((1,))


class Training(Job, frozen=True, kw_only=True):
    """A job whose configurations follow from calibrated parameters, one for each level.

    Parameters
    ----------
    parameters
        Name of the instance's parameters, or of those that optalloc ships: ``gpu-calibration``.
    levels
        How replicas reach one another within a scope (``node``, ``rack``; the empty name is
        anywhere), innermost first: the name of an interconnect that was calibrated, or a link.
        The time of an all-reduce over links follows from all of them up to the level, so those
        inside it are links too.
    """

    parameters: str
    levels: Named[str | Link] = kept({})
