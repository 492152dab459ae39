"""What a fault needs of the run in which it is done, as protocols; and what all faults do alike.

The protocols are below what implements them: nodes and engines (`interfaces`), the director
(`director.injection`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from simpy import Environment, Event

from dcompute.node_core import Topics
from dcompute_sim.faults.effects import PUBLISHED, Effect
from dcompute_sim.faults.schedule import When

LOOK_S = 0.25  # how often a `sure` fault looks whether it can strike, or has bitten


Answer = Literal["none", "connack", "suback"]
"""With what a broker that lets nobody in answers: nothing, a refused CONNECT, refused subscriptions."""


HowStuck = Literal["silent", "raises"]
"""How a Wi-Fi interface behaves that hangs: its attempts fail, or they cannot even be begun."""


class Victim(Protocol):
    """A node, as far as things are done to it. `node_id`: on the wire."""

    node_id: str

    @property
    def inc(self) -> str:
        """Its present incarnation; "" if it has none."""

    def power_on(self) -> None: ...

    def crash(self) -> None:
        """Let the program die (FIN)."""

    def leave(self) -> None:
        """Let the program leave in good order and end; told by `node_stopped` (exit) when it has."""

    def drain(self) -> None:
        """Let the program finish what is at work, and then leave."""

    def power_cut(self, how: str = "power_cut") -> None:
        """Silence, as if it had never been (`how`: power_cut or reboot)."""

    def hang(self, for_s: float | None = None) -> None:
        """Stand still until `resume`, `for_s` seconds from now (None: for ever)."""

    def resume(self) -> None: ...

    def wifi(self, present: bool, for_s: float | None = None, *, kick: bool = False) -> None:
        """Let the WLAN tell the program that its network is gone, or back (nodes without a WLAN ignore it).

        `for_s`: how long it will be gone, None for ever; a board has to know before. `kick`: the access point
        has thrown it out, so that the WLAN need not miss beacons first.
        """

    def wifi_stuck(self, how: HowStuck) -> Callable[[], bool]:
        """Let the WLAN, where there is one, lose its network and join none until the program starts it
        afresh.

        What is returned tells, whenever it is called, whether that is still so.
        """

    def hears(
        self, rssi: Mapping[str, int | None], lost: Callable[[], None], joined: Callable[[], None]
    ) -> Mapping[str, int | None]:
        """Hear these access points so strongly from now on, in dBm (None: not at all); return how it was.

        `lost` is called if the one that it is on is among those not heard any more, `joined` when it is on
        one again.
        """

    def station(self, mac: str, *, near: bool) -> None:
        """Let this station (twelve hexadecimal digits) be near enough to join the access point that the board
        is, or no longer."""


class VictimLink(Protocol):
    """A machine's way to the broker, as far as things are done to it."""

    def reset_connections(self) -> None:
        """Send RST to both ends of every connection."""

    def forget_connections(self) -> Callable[[], bool]:
        """Let nothing cross the present connections any more, either way; those made from now on work. What
        is returned tells, whenever it is called, whether the machine still holds on to one."""

    def link_down(self, *, known: bool) -> None:
        """Silence. `known`: the machine's own WLAN says so."""

    def link_up(self) -> None: ...

    def turn_away(self, answer: Answer, told: Callable[[], None]) -> None:
        """Answer who connects from now on like this, and call `told`. What stands, stands."""

    def let_in(self) -> None:
        """Let who connects from now on reach the broker again."""

    def crossings(self) -> int:
        """Tell how much (in some unit) has crossed the link so far."""

    def slow(self, latency_s: float | None, jitter_s: float | None, bytes_per_s: float | None) -> None:
        """Make the link slow; None for what stays as usual."""

    def restore(self) -> None:
        """Make it as slow or fast as usual again."""


class Target:
    """A node and its link. Silences may overlap: the link is down until the last of them is over."""

    def __init__(self, name: str, node: Victim, link: VictimLink) -> None:
        self.name = name
        self.node = node
        self.link = link
        self._silences = 0

    def silence(self, *, known: bool, for_s: float | None, kick: bool = False) -> None:
        """Let nothing cross from now on. `known`: the node's WLAN says so, with `kick` at once."""
        self._silences += 1
        self.link.link_down(known=known)
        if known:
            self.node.wifi(False, for_s, kick=kick)

    def heal(self, *, known: bool) -> None:
        """Undo one `silence`."""
        self._silences -= 1
        if self._silences:
            return
        self.link.link_up()
        if known:
            self.node.wifi(True)


class BreakableBroker(Protocol):
    """The broker's switch. Outages may overlap: it is down until the last of them is over."""

    @property
    def is_up(self) -> bool:
        """No outage has begun that is not over."""

    def stop(self, *, keep_memory: bool) -> Generator[Event, object, None]:
        """Begin an outage."""

    def start(self) -> Generator[Event, object, None]:
        """End one."""


class BreakableMaster(Protocol):
    """A master's process."""

    @property
    def connected(self) -> bool:
        """It runs and has a connection."""

    @property
    def link(self) -> VictimLink:
        """Its machine's way to the broker."""

    @property
    def asker(self) -> str:
        """The name (`from`) under which its executor asks; "" while it has none."""

    def fill_disk(self, refused: Callable[[], None] | None) -> None:
        """Refuse from now on what its journal is to write: call `refused` instead. None: it can be written
        again."""

    def crash(self, *, lose_journal: bool = False) -> None:
        """Let its process die, and take the journal of its executor with it if so asked."""

    def start(self) -> None: ...


class World(Protocol):
    """The run, apart from the nodes that are struck."""

    env: Environment
    topics: Topics

    @property
    def broker(self) -> BreakableBroker: ...
    @property
    def masters(self) -> Mapping[str, BreakableMaster]: ...

    def next(self, when: When) -> Event:
        """Return an event triggered by the next such event of the trace."""

    def double(self, of: str, fault: str, key: str) -> Generator[Event, object, Victim]:
        """Make a second node with the id of node `of`, on a machine of its own, switched off; draws by
        `key`."""

    def eavesdrop(
        self,
        name: str,
        topics: Sequence[str],
        heard: Callable[[str, bytes], Sequence[tuple[str, bytes]]],
        *,
        delay_s: float = 0.0,
        retain: bool = False,
    ) -> Generator[Event, object, Callable[[], None]]:
        """Read these topics as a client of this name, and publish what `heard` says to each message, at once
        or so much later.

        Returns, once it hears, what ends it.
        """

    def publish(
        self, name: str, topic: str, payload: bytes, *, qos: int, retain: bool, until_s: float
    ) -> Generator[Event, object, bool]:
        """Publish as a client of this name: once, and again until `until_s` if the broker does not answer.

        Returns whether it was acknowledged.
        """


class Receipts(Protocol):
    """Who looks for the effects of faults."""

    def has_bitten(self, fault: str) -> bool:
        """Say whether the fault has had an effect."""

    def effect(self, node: str, effect: Effect, detail: str = "", of: str = "") -> None:
        """Note that something was seen of `node`, by fault `of` if that is known."""

    def fault_ended(self, fault: str, node: str = "") -> None:
        """Note that the fault is undone; what follows is no effect of it."""


@dataclass(frozen=True)
class Injection:
    """One fault that is being done.

    Attributes:
        name: of this fault in this run.
        key: whoever takes part only because of it has this in its name, and draws by it: made of the entry's
            id, so that no other entry can change it.
        lasts: seconds until it is to be undone; None for never.
        sure: it goes on until it had an effect.
        over_s: when the last thing may be done in this run.
        struck: the node; None for a fault of the broker or the master.
        undone: triggered when somebody wants it undone before its time; None where nobody can.
    """

    name: str
    key: str
    lasts: float | None
    sure: bool
    over_s: float
    world: World
    receipts: Receipts
    struck: Target | None = None
    undone: Event | None = None

    @property
    def target(self) -> Target:
        """The node that is struck."""
        assert self.struck is not None, f"{self.name} is not done to a node"
        return self.struck

    @property
    def node(self) -> Victim:
        return self.target.node

    @property
    def link(self) -> VictimLink:
        return self.target.link

    @property
    def env(self) -> Environment:
        return self.world.env

    @property
    def whom(self) -> str:
        """The struck node's name; "" for the broker or the master."""
        return self.struck.name if self.struck is not None else ""

    @property
    def for_ever(self) -> bool:
        """Nothing will undo it."""
        return self.lasts is None and self.undone is None

    def time_up(self) -> Event:
        """Return an event triggered when it is to be undone; never, if it is for ever."""
        if self.undone is None:
            return self.env.event() if self.lasts is None else self.env.timeout(self.lasts)
        return self.undone if self.lasts is None else self.undone | self.env.timeout(self.lasts)

    def lasting(self, undo: Callable[[], None]) -> Generator[Event, object, None]:
        """Undo it after its time; for ever when it has none."""
        yield self.time_up()
        yield from self.until_felt()
        self.ended()
        undo()

    def broker_away(self, *, keep_memory: bool) -> Generator[Event, object, None]:
        """Stop the broker, and start it again after its time."""
        broker = self.world.broker
        yield from broker.stop(keep_memory=keep_memory)
        if self.for_ever:
            return
        yield self.time_up()
        yield from self.until_felt()
        yield from broker.start()
        self.ended()

    def until_felt(self) -> Generator[Event, object, None]:
        """Go on with a `sure` fault until it had an effect."""
        while self.sure and not self.receipts.has_bitten(self.name) and self.env.now < self.over_s:
            yield self.env.timeout(LOOK_S)

    def ended(self) -> None:
        """Note that it is undone; what follows is no effect of it."""
        self.receipts.fault_ended(self.name, self.whom)

    def effect(self, effect: Effect, detail: str = "") -> None:
        """Tell an effect that only this fault can have had."""
        self.receipts.effect(self.whom, effect, detail, self.name)

    def publish(
        self, topic: str, payload: bytes, *, qos: int, retain: bool, number: int = 0
    ) -> Generator[Event, object, None]:
        """Publish a message as a client that belongs to nobody. `number`: which of this fault's it is."""
        until_s = self.over_s if self.sure else 0.0
        done = yield from self.world.publish(
            f"{self.key}-{number}" if number else self.key,
            topic,
            payload,
            qos=qos,
            retain=retain,
            until_s=until_s,
        )
        if done:
            self.effect(PUBLISHED, f"published {len(payload)} bytes to {topic}")
