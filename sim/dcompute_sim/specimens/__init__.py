"""Faults of nodes, masters and their surroundings that were met in the field, for the museum in scenarios/.

Each is a mixin, or several, over the production classes; production code knows nothing of them. A museum
scenario holds on our own node and must go red on its specimen. Some are no faults but circumstances that a
good node or master has to bear; scenarios name those as a group's `variant`.
"""

from __future__ import annotations

from typing import Any

from dcompute_sim.specimens import connecting, masters, reading, working, writing

SPECIMENS: dict[str, tuple[type[Any], ...]] = {
    "random-client-id": (connecting.RandomClientId, connecting.BareStatus),
    "connected-first": (connecting.ConnectedFirst,),
    "subscribes-once": (connecting.SubscribesOnce,),
    "no-jitter": (connecting.NoJitter,),
    "no-backoff": (connecting.NoBackoff,),
    "reader-ends": (reading.ReaderEnds,),
    "half-packets": (reading.HalfPackets,),
    "two-readers": (reading.TwoReaders,),
    "malformed-ends-reader": (reading.MalformedEndsReader,),
    "blocking-read": (reading.BlockingRead,),
    "length-in-characters": (writing.LengthInCharacters,),
    "endless-wait": (writing.EndlessWait,),
    "unacknowledged": (writing.Unacknowledged,),
    "unretained-status": (writing.UnretainedStatus,),
    "retained-results": (writing.RetainedResults,),
    "clock-unset": (writing.ClockUnset,),
    "polite-crash": (working.PoliteCrash,),
    "inverted-queue": (working.InvertedQueue,),
    "unbounded-queue": (working.UnboundedQueue,),
    "impatient-master": (masters.ImpatientMaster,),
    "trusts-timestamps": (masters.TrustsTimestamps,),
}
