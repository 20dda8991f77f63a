"""The devices of nodes: what of each is free, and which ones a replica gets."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optalloc.instance import device_memory
from optalloc.instance.columns import Columns
from optalloc.instance.errors import OptallocError
from optalloc.instance.model import DEVICE, Instance

IntArray = NDArray[np.int64]

WHOLE = 1000
"""Parts of a device that can be shared out."""
ROOMS, CHANGES = 64, 5_000
"""Shares for which the room on all nodes is kept, and changes since then."""
ENOUGH = 1_000_000_000
"""Replicas on a node that devices do not limit."""


@dataclass(frozen=True)
class Share:
    """What each replica of a row needs of the devices of its node.

    Parameters
    ----------
    parts : (nodes,)
        In parts of a device: fewer than `WHOLE` on one device, or some whole ones.
    memory
        On each device that it uses, in thousandths of GiB.
    """

    parts: IntArray
    memory: int = 0

    @classmethod
    def of(cls, columns: Columns, row: int) -> Share | None:
        """Read what a row needs; None where it needs no device.

        Raises
        ------
        OptallocError
            For more than one device that are no whole ones, and memory of no device.
        """
        task = columns.instance.tasks[int(columns.row_task[row])]
        configuration = columns.row_configuration[row]
        stated = device_memory.stated(task, configuration)
        memory = device_memory.needed(stated)
        parts = np.zeros(columns.nodes, np.int64)
        if DEVICE in columns.resource_index:
            demand = columns.demand[columns.resource_index[DEVICE]]
            parts[:] = demand.at(np.full(1, row), np.arange(columns.nodes))
        if not parts.any():
            if memory:
                raise OptallocError(
                    f"expected a demand of device beside device_memory_gib {stated:g}, got none"
                )
            return None
        wrong = parts[(parts > WHOLE) & (parts % WHOLE > 0)]
        if wrong.size:
            raise OptallocError(
                "expected a number of whole devices or a part of one, "
                f"got device {wrong[0] / WHOLE:g}"
            )
        return cls(parts, memory)

    @cached_property
    def same(self) -> int | None:
        """The parts, where they are the same on all nodes."""
        first = int(self.parts[0])
        return first if bool(np.all(self.parts == first)) else None

    def number(self, node: int) -> int:
        """Devices of a replica on a node."""
        return -(-int(self.parts[node]) // WHOLE)

    def lacking(self, node: int) -> str:
        """Say that a node has not what is needed."""
        parts, number = int(self.parts[node]), self.number(node)
        memory = f" and {self.memory / WHOLE:g} GiB" if self.memory else ""
        if parts < WHOLE:
            return f"no device with {parts}/{WHOLE}{memory} free"
        what = "whole device" if number == 1 else "whole devices"
        return f"not {number} {what}{memory.replace(' and', ' with')} free"


class Devices:
    """What is free of each device.

    Parameters
    ----------
    instance
        Its nodes have devices.

    Attributes
    ----------
    free : (nodes, most)
        Parts of each device; 0 beyond a node's number of devices.
    memory : (nodes, most)
        Memory of each device, in thousandths of GiB.
    """

    def __init__(self, instance: Instance) -> None:
        entry = instance.columns.node_entry
        number = np.array([node.devices for node in instance.nodes], np.int64)[entry]
        memory = device_memory.offered(instance.nodes)[entry]
        there = np.arange(max(int(number.max(initial=0)), 1)) < number[:, None]
        self.free = np.where(there, WHOLE, 0).astype(np.int64)
        self.memory = np.where(there, memory[:, None], 0).astype(np.int64)
        self._forget_rooms()

    def copied(self) -> Devices:
        """The same, to go on apart."""
        made = copy(self)
        made.free, made.memory = self.free.copy(), self.memory.copy()
        made._forget_rooms()
        return made

    def room(self, share: Share, nodes: IntArray) -> IntArray:
        """Replicas that the free devices of some nodes take.

        What replicas of a share find everywhere is kept, and looked at anew where devices changed.
        """
        if share.same is None:
            return self.room_of(share.parts[nodes], share.memory, nodes)
        room, seen = self._rooms.get((share.same, share.memory), (None, 0))
        if room is None:
            if len(self._rooms) >= ROOMS:
                self._forget_rooms()
            every = np.arange(share.parts.size, dtype=np.int64)
            room = self.room_of(share.parts, share.memory, every)
        elif seen < len(self._changed):
            changed = np.array(self._changed[seen:], np.int64)
            room[changed] = self.room_of(share.parts[changed], share.memory, changed)
        self._rooms[share.same, share.memory] = room, len(self._changed)
        return room[nodes]

    def _forget_rooms(self) -> None:
        self._rooms: dict[tuple[int, int], tuple[IntArray, int]] = {}
        self._changed: list[int] = []

    def room_of(self, parts: IntArray, memory: int, nodes: IntArray) -> IntArray:
        """The same for what replicas need on each of these nodes, (..., nodes), as in `Share`."""
        fits = self.free[nodes] // np.maximum(np.minimum(parts, WHOLE), 1)[..., None]
        if memory:
            left = self.memory[nodes] // memory
            fits = np.where(left < fits, left, fits)
        whole = fits.sum(axis=-1) // np.maximum(parts // WHOLE, 1)
        return np.where(parts > 0, whole, ENOUGH)

    def choose(self, share: Share, node: int) -> tuple[int, ...] | None:
        """Devices for one replica: the fullest that takes a part, the first that are whole."""
        parts, number = int(share.parts[node]), share.number(node)
        least, free = min(parts, WHOLE), self.free[node].tolist()
        found = [d for d, left in enumerate(free) if left >= least]
        if share.memory:
            memory = self.memory[node].tolist()
            found = [d for d in found if memory[d] >= share.memory]
        if not parts or len(found) < number:
            return None if parts else ()
        if parts < WHOLE:
            return (min(found, key=free.__getitem__),)
        return tuple(found[:number])

    def takes(self, share: Share, node: int, devices: tuple[int, ...]) -> bool:
        """Whether a replica could use these devices of a node."""
        least, most = min(int(share.parts[node]), WHOLE), self.free.shape[1]
        if len(devices) != share.number(node) or len({*devices}) != len(devices):
            return False
        return all(
            0 <= d < most and self.free[node, d] >= least and self.memory[node, d] >= share.memory
            for d in devices
        )

    def use(self, share: Share, node: int, devices: tuple[int, ...], sign: int = 1) -> None:
        """Let a replica use devices of a node, or (negative) no longer."""
        parts = sign * min(int(share.parts[node]), WHOLE)
        for d in devices:
            self.free[node, d] -= parts
            if share.memory:
                self.memory[node, d] -= sign * share.memory
        self._changed.append(node)
        if len(self._changed) > CHANGES:
            self._forget_rooms()

    def use_many(self, node: IntArray, device: IntArray, parts: IntArray, memory: IntArray) -> int:
        """Let replicas use devices, of which they need so many parts in all, and memory on each.

        Returns
        -------
        int
            A node whose devices have not enough free for them: then none is used; -1 if all have.
        """
        most = self.free.shape[1]
        if wrong := node[(device < 0) | (device >= most)].tolist():
            return int(wrong[0])
        at = node * most + device
        free = self.free.copy()
        left = self.memory.copy()
        np.subtract.at(free.reshape(-1), at, np.minimum(parts, WHOLE))
        np.subtract.at(left.reshape(-1), at, memory)
        lacks = np.flatnonzero(((free < 0) | (left < 0)).any(axis=1))
        if lacks.size:
            return int(lacks[0])
        self.free[:], self.memory[:] = free, left
        self._forget_rooms()
        return -1
