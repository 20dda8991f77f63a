"""Rate of a data-parallel group: synchronous or not, of one type of device or of several.

Formulas: Pollux (Qiao et al., OSDI 2021) for accumulation; for unequal devices the share of the
batch that lets all of them end together.
"""

from __future__ import annotations

from collections.abc import Sequence

from optalloc.instance.errors import InstanceError


def _check(source: str, **numbers: float) -> None:
    wrong = [
        (name, f"expected above 0, got {value:g}")
        for name, value in numbers.items()
        if not value > 0
    ]
    if wrong:
        raise InstanceError(wrong, source)


def accumulated(step_s: float, compute_s: float, accumulations: int) -> float:
    """Seconds of a step that gathers gradients first: ``a compute + step``.

    Parameters
    ----------
    step_s
        Seconds of a micro-step with its exchange.
    compute_s
        Seconds of a micro-step without.
    accumulations
        a, the micro-steps without an exchange before; 0 for none.

    Raises
    ------
    InstanceError
        For negative numbers.
    """
    if accumulations < 0 or compute_s < 0 or step_s < 0:
        message = "expected seconds and a number of micro-steps of at least 0"
        raise InstanceError([("accumulations", message)], "the group")
    return accumulations * compute_s + step_s


def equal_batches(alone_s: Sequence[float], exchange_s: float) -> float:
    """Seconds of a synchronous step of unlike replicas with equal batches: the slowest one's.

    Parameters
    ----------
    alone_s
        Seconds of each replica's own step.
    exchange_s
        Seconds of the exchange that is not hidden.
    """
    if not alone_s:
        raise InstanceError([("alone_s", "expected at least one replica")], "the group")
    return max(alone_s) + exchange_s


def balanced_batches(
    rates: Sequence[float], batch: float, exchange_s: float
) -> tuple[float, list[float]]:
    """Rate of a synchronous group whose replicas get batches by their speed.

    Replica i of rate v_i gets ``B v_i / V`` samples with ``V = sum v_i``, so that all end together:
    ``samples/s = V / (1 + V t / B)``, concave in V.

    Parameters
    ----------
    rates
        v_i, samples/s of each replica alone.
    batch
        B, samples of a step over all replicas.
    exchange_s
        t, seconds of the exchange.

    Returns
    -------
    tuple
        Samples/s of the group, and the batch of each replica.

    Raises
    ------
    InstanceError
        For rates and a batch that are not above 0.
    """
    _check("the group", batch=batch, **{f"rates[{k}]": rate for k, rate in enumerate(rates)})
    total = sum(rates)
    return total / (1 + total * exchange_s / batch), [batch * rate / total for rate in rates]


def asynchronous(
    rates: Sequence[float], gradient_bytes: float, batch: float, server: float
) -> float:
    """Samples/s of replicas that exchange with a parameter server, each at its own pace.

    Every step moves the gradient in and the parameters out: ``sum of steps/s * 2 S <= B_server``.

    Parameters
    ----------
    rates
        Samples/s of each replica alone.
    gradient_bytes
        S.
    batch
        Samples of a replica's step.
    server
        Bytes/s of the parameter server.

    Raises
    ------
    InstanceError
        For numbers that are not above 0.
    """
    numbers = {f"rates[{k}]": rate for k, rate in enumerate(rates)}
    _check("the group", gradient_bytes=gradient_bytes, batch=batch, server=server, **numbers)
    return min(sum(rates), server / (2 * gradient_bytes) * batch)
