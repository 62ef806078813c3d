"""Several data sets side by side, for objectives that want examples of each and no pairs of them."""

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from gentoolkit.data import columns, pipeline

Order = Literal["independent", "disjoint", "aligned"]


class Together(pipeline.Indexed):
    """Streams side by side: step t is `{"a": a[t], "b": b[t]}`, under the names they are given.

        photographs, drawings = folder.load("photos", ...), folder.load("drawings", ...)
        stream = Together(
            a=Stream(photographs, seed=0, batch_size=4), b=Stream(drawings, seed=0, batch_size=4)
        )

    The sets may differ in length, fields and batch size; each goes through its own epochs. Orders:

    - "independent": each stream draws an order and augmentations of its own, also where seeds are equal.
    - "disjoint": for pairs that are to be used as if they were none. The data sets are of one length, each stream gets
      a part of its own of the examples (of two streams, one half each), so that nothing is ever seen beside its
      partner.
    - "aligned": row i of every batch is the same example of all the sets, and is mirrored and cropped alike; the
      streams agree in length, seed and batch size.

    One data set with two columns of pictures is made two by `select`: `pairs.select(image="photo")`.
    """

    def __init__(self, *, order: Order = "independent", **streams: pipeline.Stream):
        """Puts streams side by side.

        Args:
          order: as above.
          **streams: by name, at least one.

        Raises:
          ValueError: an unknown order, no stream, or streams that do not agree where they must.
        """
        if order not in ("independent", "disjoint", "aligned"):
            raise ValueError(f"order must be 'independent', 'disjoint' or 'aligned', got order = {order!r}.")
        if not streams:
            raise ValueError("Together needs at least one stream.")
        self.order = order
        self.read_ahead = next(iter(streams.values())).read_ahead
        if order != "independent":
            lengths = {name: len(stream.source) for name, stream in streams.items()}
            if len(set(lengths.values())) > 1:
                raise ValueError(f"order = {order!r} needs data sets of one length, got {lengths}.")
        if order == "aligned":
            identities = {name: stream.identity() for name, stream in streams.items()}
            first, *others = identities.values()
            if any(other != first for other in others):
                raise ValueError(f"order = 'aligned' needs streams that agree, got {identities}.")
            self.streams: Mapping[str, pipeline.Stream] = dict(streams)
            return
        made = {}
        for number, (name, stream) in enumerate(streams.items()):
            source = stream.source
            if order == "disjoint":
                # By the seed of the first stream: all must deal out the same order.
                seed = next(iter(streams.values())).seed
                dealt = columns.permutation(seed, 0, len(source))[number :: len(streams)]
                source = source.subset(np.sort(dealt))
            # Else equal seeds would mean equal orders, and prefixes of equal orders where lengths differ.
            words = np.random.SeedSequence([stream.seed, 2, number]).generate_state(2)
            own = int(words[0]) << 32 | int(words[1])
            made[name] = dataclasses.replace(stream, source=source, seed=own)
        self.streams = made

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every example of the longest set is seen."""
        return max(stream.steps_per_epoch for stream in self.streams.values())

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of each stream."""
        return {name: stream.fields for name, stream in self.streams.items()}

    def __len__(self) -> int:
        """Number of steps in all, those of the shortest stream; `sys.maxsize` if there is no end."""
        return min((len(stream) for stream in self.streams.values()), default=sys.maxsize)

    def __getitem__(self, step: int) -> dict[str, Any]:
        """Reads this process's part of the batch of a step."""
        return {name: stream[step] for name, stream in self.streams.items()}

    def identity(self) -> dict[str, Any]:
        """What decides the batches, for a saved position to be compared with."""
        return {"order": self.order} | {name: stream.identity() for name, stream in self.streams.items()}
