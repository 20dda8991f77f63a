"""Devices and servers as their datasheets state them.

Sources of the numbers:

* Peak dense bf16 (V100, T4: fp16) FLOP/s, memory and board power: NVIDIA datasheets of V100,
  T4, A100, L4, L40S, H100, H200 and DGX B200 (1,440 GB in 8 devices), AMD datasheet of MI300X.
* Edge devices are rated by their peak dense int8 operations/s: Coral benchmark page (Edge TPU: 4
  TOPS at 2 W), NVIDIA Jetson AGX Orin 64 GB (170 sparse TOPS of its GPU, 60 W), NVIDIA T4 (130
  TOPS), AMD PG367 (DPU on Alveo U50: 7.373 TOPS, card 75 W) and UG1354 (VCK5000: 4 engines of 10
  TOPS, card 225 W).
* Idle watts: measured with an open context for H100 (84 W) and H200 (114 W, mean of four);
  V100 35, A100 46, T4 8 W from the Cloud Carbon Footprint methodology; 12 % of the board power
  (the H100's share) where neither knows.
* Full-load watts of servers: DGX-1 3.5 kW, DGX A100 6.5 kW, DGX H100 and H200 10.2 kW, DGX B200
  14.3 kW (NVIDIA user guides); Dell PowerEdge R640 55-469 W and R940 106-915 W (SPECpower results).
  The MI300X server's 10 kW is an assumption.
* Prices: AWS on-demand list prices, Linux, us-east-1, in USD per hour before the reduction of June
  2025, of the instance type that is the name of the server.
"""

from __future__ import annotations

from dataclasses import dataclass

from optalloc.instance.model import Node
from optalloc.instance.policy import Number

UNMEASURED_IDLE = 0.12
"""Idle share of the board power where no measurement is known."""
HOST_IDLE = 0.2
"""Assumed idle share of the watts that a server can draw beside its devices."""


@dataclass(frozen=True)
class Device:
    """One device.

    Parameters
    ----------
    name
        Device type.
    flops, memory_gib, memory_bandwidth
        Peak operations/s, GiB and bytes/s.
    board_w, idle_w
        Watts at full load and idle.
    link
        Bytes/s to the other devices of the node, both directions together.
    nic
        Bytes/s of the device's share of the node's network, one direction.
    """

    name: str
    flops: float
    memory_gib: float
    memory_bandwidth: float
    board_w: float
    idle_w: float
    link: float = 0.0
    nic: float = 0.0


@dataclass(frozen=True)
class Server:
    """One kind of server.

    Parameters
    ----------
    name
        Kind of server or type of cloud instance.
    device, devices
        Device and how many of them; None for a server with CPUs only.
    cores, memory_gib
        Cores (vCPUs in a cloud) and GiB of memory.
    full_w
        Watts of the whole server at full load.
    host_idle_w
        Idle watts of everything but the devices; by default `HOST_IDLE` of what the host can draw.
    price_h
        USD per hour.
    """

    name: str
    device: Device | None
    devices: int
    cores: int
    memory_gib: int
    full_w: float
    host_idle_w: float | None = None
    price_h: Number = 0

    @property
    def idle_w(self) -> float:
        """Idle watts of the whole server."""
        board = self.devices * self.device.board_w if self.device else 0.0
        idle = self.devices * self.device.idle_w if self.device else 0.0
        host = HOST_IDLE * (self.full_w - board) if self.host_idle_w is None else self.host_idle_w
        return round(host + idle, 1)

    def node(
        self,
        name: str,
        count: int,
        domains: dict[str, str],
        labels: dict[str, str],
        safety: dict[str, float] | None = None,
    ) -> Node:
        """State `count` such servers as a node entry."""
        device = self.device
        return Node(
            name=name,
            capacity={"cores": self.cores, "memory": self.memory_gib},
            safety=safety or {},
            device=device.name if device else "",
            devices=self.devices,
            flops=device.flops if device else None,
            memory_gib=device.memory_gib if device else None,
            memory_bandwidth=device.memory_bandwidth if device else None,
            idle_w=self.idle_w,
            full_w=self.full_w,
            price_h=self.price_h,
            labels=labels,
            domains=domains,
            count=count,
        )


def _idle(board_w: float) -> float:
    return round(UNMEASURED_IDLE * board_w, 1)


V100 = Device("v100", 125e12, 32, 0.9e12, 300, 35, link=300e9, nic=6.25e9)
A100 = Device("a100", 312e12, 80, 2.039e12, 400, 46, link=600e9, nic=25e9)
H100 = Device("h100", 989e12, 80, 3.35e12, 700, 84, link=900e9, nic=50e9)
H200 = Device("h200", 989e12, 141, 4.8e12, 700, 114, link=900e9, nic=50e9)
B200 = Device("b200", 2.25e15, 180, 8e12, 1000, _idle(1000), link=1800e9, nic=50e9)
MI300X = Device("mi300x", 1307e12, 192, 5.3e12, 750, _idle(750), link=896e9, nic=50e9)
L40S = Device("l40s", 362e12, 48, 864e9, 350, _idle(350))
L4 = Device("l4", 121e12, 24, 300e9, 72, _idle(72))
T4 = Device("t4", 65e12, 16, 320e9, 70, 8)

DGX1 = Server("dgx-1", V100, 8, 40, 512, 3500)
DGX_A100 = Server("dgx-a100", A100, 8, 128, 2048, 6500)
DGX_H100 = Server("dgx-h100", H100, 8, 112, 2048, 10200)
DGX_H200 = Server("dgx-h200", H200, 8, 112, 2048, 10200)
DGX_B200 = Server("dgx-b200", B200, 8, 112, 2048, 14300)
MI300X_8 = Server("mi300x-8", MI300X, 8, 128, 2048, 10000)
R940 = Server("r940", None, 0, 112, 768, 915, 106)
R640 = Server("r640", None, 0, 56, 192, 469, 55)

P5 = Server("p5.48xlarge", H100, 8, 192, 2048, 10200, price_h=98.32)
P4DE = Server("p4de.24xlarge", A100, 8, 96, 1152, 6500, price_h=40.966)
G6E = Server("g6e.48xlarge", L40S, 8, 192, 1536, 4200, price_h=30.131)
G6 = Server("g6.48xlarge", L4, 8, 192, 768, 1400, price_h=13.35)
G4DN = Server("g4dn.12xlarge", T4, 4, 48, 192, 700, price_h=3.912)
M7I = Server("m7i.24xlarge", None, 0, 96, 384, 700, price_h=4.838)

EDGE_TPU = Device("edge-tpu", 4e12, 0.008, 1.6e9, 2, 0.5)
ORIN = Device("orin", 85e12, 64, 204.8e9, 45, 5)
EDGE_T4 = Device("t4", 130e12, 16, 320e9, 70, 8)
U50 = Device("alveo-u50", 7.373e12, 8, 316e9, 75, _idle(75))
VCK5000 = Device("vck5000", 40e12, 16, 102.4e9, 225, _idle(225))

CORAL_BOARD = Server("coral", EDGE_TPU, 1, 4, 4, 10, 3)
JETSON = Server("jetson", ORIN, 1, 12, 64, 60, 10)
T4_SERVER = Server("t4-server", EDGE_T4, 2, 56, 192, 609, 55)
U50_SERVER = Server("u50-server", U50, 1, 56, 192, 544, 55)
VCK5000_SERVER = Server("vck5000-server", VCK5000, 1, 56, 192, 694, 55)
