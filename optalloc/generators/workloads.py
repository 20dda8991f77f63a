"""What a task needs and reaches on each device: configuration tables from measurements.

Training: `TRAINING` holds rows of the project's own measurements (DistributedDataParallel, bf16,
AdamW, on one H100 and on four H200s joined by NVLink). Inference: `INFERENCE` holds operations
per image and published rates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from optalloc.generators.hardware import EDGE_TPU, H100, H200, VCK5000, Device
from optalloc.instance.model import Configuration

DEVICES_PER_NODE = 8
GRADIENT_BYTES = 4
INT8_SHARE = 0.2
"""Achieved share of the peak: Edge TPU 0.21 and VCK5000 0.20 on EfficientNet-EdgeTPU-S."""


@dataclass(frozen=True)
class Training:
    """One model's training, as measured on H200 (and alone on H100).

    Parameters
    ----------
    name, parameters, batch
        Model, number of parameters, samples per replica and step.
    step_s, step4_s
        Seconds a step on one H200, and on four joined by NVLink.
    watts
        Watts of the H200 while it trains alone.
    memory_gib
        Peak memory of a device.
    h100_step_s, h100_watts
        Seconds a step on one H100, and its watts.
    """

    name: str
    parameters: int
    batch: int
    step_s: float
    step4_s: float
    watts: float
    memory_gib: float
    h100_step_s: float
    h100_watts: float


TRAINING = {
    t.name: t
    for t in (
        Training("resnet18-cifar", 11181642, 512, 0.010173, 0.014462, 187.1, 0.47, 0.012033, 187.3),
        Training("resnet50", 25557032, 256, 0.106158, 0.108522, 468.4, 11.37, 0.114703, 457.7),
        Training("bert-large", 333959168, 32, 0.082184, 0.086868, 598.4, 21.78, 0.089076, 554.3),
        Training("gpt2-small", 124475904, 32, 0.084688, 0.087315, 599.0, 28.74, 0.093700, 587.7),
        Training("gpt2-large", 774090240, 8, 0.115330, 0.127514, 578.6, 33.15, 0.125865, 544.8),
        Training("mlp-wide", 268468224, 4096, 0.012044, 0.014676, 697.1, 7.50, 0.013108, 709.3),
    )
}


@dataclass(frozen=True)
class Inference:
    """One vision model that serves images.

    Parameters
    ----------
    name, operations
        Model and operations per image (AMD UG1354).
    measured
        Images/s of one device where published: Edge TPU from the Coral benchmark page (Dev Board),
        VCK5000 from AMD UG1354.
    """

    name: str
    operations: float
    measured: dict[str, float]


INFERENCE = {
    i.name: i
    for i in (
        Inference("efficientnet-s", 4.72e9, {EDGE_TPU.name: 1000 / 5.5, VCK5000.name: 1663.8}),
        Inference("efficientnet-m", 7.34e9, {EDGE_TPU.name: 1000 / 10.6, VCK5000.name: 974.6}),
        Inference("efficientnet-l", 19.36e9, {VCK5000.name: 393.6}),
    )
}


def rounded(value: float, digits: int = 4) -> float:
    """Round to significant digits, so that files stay readable."""
    if value == 0:
        return 0.0
    return round(float(value), digits - 1 - floor(log10(abs(value))))


def training_step(job: Training, device: Device, replicas: int) -> float:
    """Seconds a data-parallel step, extrapolated from the measurements.

    ``compute + 2 (K - 1) / K * c + 2 (N - 1) / N * S / B``: compute is the measured step of one
    H200 (or H100), else scaled by peak FLOP/s (the same share of the peak is reached); c is what
    the all-reduce added at K = 4 on NVLink, scaled by the device's link; between N nodes of 8
    devices the gradient's S = 4 bytes per parameter go over one network card per device, each of
    B bytes/s (hierarchical ring, nothing hidden: an upper estimate).
    """
    scaled = job.step_s * H200.flops / device.flops
    compute = job.h100_step_s if device.name == H100.name else scaled
    link = (job.step4_s - job.step_s) / 1.5 * H200.link / device.link
    nodes = ceil(replicas / DEVICES_PER_NODE)
    share = GRADIENT_BYTES * job.parameters / min(replicas, DEVICES_PER_NODE)
    network = 2 * (nodes - 1) / nodes * share / device.nic
    return compute + 2 * (replicas - 1) / replicas * link + network


def training_watts(job: Training, device: Device) -> float:
    """Watts of a device above idle: the share of its range that was measured on H200 (or H100)."""
    measured, watts = (H100, job.h100_watts) if device.name == H100.name else (H200, job.watts)
    share = (watts - measured.idle_w) / (measured.board_w - measured.idle_w)
    return min(share, 1.0) * (device.board_w - device.idle_w)


def training_table(
    job: Training, devices: Iterable[Device], sizes: Sequence[int]
) -> tuple[Configuration, ...]:
    """One row per device type whose memory suffices and number of replicas.

    Watts count the time in which devices compute; while they wait for the network they idle.
    """
    rows = []
    for device in devices:
        if device.memory_gib < job.memory_gib:
            continue
        alone = training_step(job, device, 1)
        for replicas in sizes:
            step = training_step(job, device, replicas)
            watts = replicas * training_watts(job, device) * alone / step
            rows.append(
                Configuration(
                    name=f"{device.name} x {replicas}",
                    device=device.name,
                    replicas=replicas,
                    throughput=rounded(replicas * job.batch / step),
                    watts=rounded(watts, 3),
                )
            )
    return tuple(rows)


def inference_rate(model: Inference, device: Device) -> float:
    """Images/s of one device: published, else `INT8_SHARE` of its peak; 0 where it cannot run."""
    if device.name == EDGE_TPU.name:
        return model.measured.get(device.name, 0.0)
    return model.measured.get(device.name, INT8_SHARE * device.flops / model.operations)


def inference_table(
    model: Inference, devices: Iterable[Device], rate: float, most: int = 4
) -> tuple[Configuration, ...]:
    """One row per device type that serves `rate` images/s with at most `most` devices.

    Active watts grow with utilisation, rate over capacity.
    """
    rows = []
    for device in devices:
        each = inference_rate(model, device)
        replicas = ceil(rate / each) if each else most + 1
        if replicas <= most:
            rows.append(
                Configuration(
                    name=f"{device.name} x {replicas}",
                    device=device.name,
                    replicas=replicas,
                    throughput=rounded(replicas * each),
                    watts=rounded(rate / each * (device.board_w - device.idle_w), 3),
                )
            )
    return tuple(rows)
