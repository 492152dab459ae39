"""How a connection begins: SYN, SYN-ACK and their repetitions. The third part is the client's first segment.

A SYN is repeated until it is answered, a SYN-ACK until it is [RFC 9293, 3.5; the counts are `TcpProfile`'s];
a client that gets one again acknowledges again. On a link that is well no timer of the server runs: its
SYN-ACK's answer is lost only in a silence, which tells (`unanswered`).
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from dcompute_sim.net.clock import Timer
from dcompute_sim.net.tcp import Endpoint
from dcompute_sim.net.tcp_connection import CONNECTING, GONE, OPEN, SYN_RECEIVED


class Handshake:
    """Of one connection attempt."""

    def __init__(self, client: Endpoint, server: Endpoint) -> None:
        self.client = client
        self.server = server
        self.network = client.host.network
        self.attempts = 0  # repetitions of the SYN
        self.answers = 0  # repetitions of the SYN-ACK
        self._timer: Timer | None = None
        self._answer_timer: Timer | None = None
        self._syn_at_s = 0.0
        self._echo_s: float | None = None  # when that SYN was sent which arrived first
        self._answer_echo_s: float | None = None  # and that SYN-ACK
        self._answered_at_s = 0.0
        client.connection.opening = self

    def begin(self) -> None:
        """Send the first SYN; fails at once without a WLAN."""
        if self.client.host.link.state == "off":
            self._swallowed()
            error = OSError(errno.ENETUNREACH, "network is unreachable: no WLAN")
            self._later(0.0, lambda: self._fail(error))
            return
        self._send_syn()

    def accepted(self) -> None:
        """Take note that the server's program has it."""
        # A repeated SYN-ACK is old to a client that is connected: its acknowledgement still bears the
        # timestamp of the first that came (tcp_validate_incoming).
        if self._answer_echo_s is not None and self.server.host.tcp.timestamps:
            self.server.measured(self._now_s() - self._answer_echo_s)
        elif not self.answers:
            self.server.measured(self._now_s() - self._answered_at_s)
        if self._answer_timer is not None:
            self._answer_timer.cancel()

    def unanswered(self) -> None:
        """Have the SYN-ACK come again: the client's acknowledgement is lost."""
        if self._answer_timer is None:
            wait_s = self.server.host.tcp.syn_wait_s(self.answers)
            self._answer_timer = self.network.clock.call_at(self._answered_at_s + wait_s, self._answer_again)

    # --- the client's part ---

    def _send_syn(self) -> None:
        if self.client.state != CONNECTING:
            self.server.vanish()  # the program has given up
            return
        self._syn_at_s = self._now_s()
        lost = not self._travel(self.client, self._syn_arrived)
        if lost:
            self._swallowed()
        self._show(self.client, "S", 0, 0, lost)
        wait_s = self.client.host.tcp.syn_wait_s(self.attempts)
        self._timer = self.network.clock.call_later(wait_s, self._timed_out)

    def _timed_out(self) -> None:
        if self.attempts >= self.client.host.tcp.syn_retries:
            self._fail(TimeoutError(errno.ETIMEDOUT, "connection attempt timed out"))
            return
        self.attempts += 1
        self._send_syn()

    def _answered(self) -> None:
        client = self.client
        if not self.server.path_up:
            return
        if self._answer_echo_s is None:
            self._answer_echo_s = self._answered_at_s
        if client.state == OPEN:
            client.acknowledge_soon()
            return
        self._stop()
        if client.state == GONE:
            self.server.vanish()  # the program gave up meanwhile; its kernel answers with RST
            self._show(client, "R", 1, 0, not client.path_up)
            return
        if not self.attempts or client.host.tcp.timestamps:
            # Linux answers a repeated SYN with the timestamp of the one before (tcp_check_req): who waited a
            # second for a lost answer believes in a round trip of a second for a while.
            echo_s = self._echo_s if client.host.tcp.timestamps else None
            client.measured(self._now_s() - (self._syn_at_s if echo_s is None else echo_s))
        client.established()

    def _refused(self) -> None:
        if self.server.path_up and self.client.state == CONNECTING:
            self.client.connection.observer.refused(self.client.host.name, "rst")
            self._fail(ConnectionRefusedError(errno.ECONNREFUSED, "connection refused"))

    def _fail(self, error: OSError) -> None:
        self._stop()
        if self.client.state == CONNECTING:
            self.server.vanish()
            self.client.fail(error)

    def _swallowed(self) -> None:
        """Tell of a SYN that met silence; of each, for the link may have fallen silent since the last. One
        lost by chance says nothing of that."""
        if not self.client.path_up:
            self.client.connection.observer.refused(self.client.host.name, "silence")

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    # --- the server's part ---

    def _syn_arrived(self) -> None:
        server = self.server
        if not self.client.path_up:
            self._swallowed()
            return
        listener = server.host.listener(server.port)
        if listener is not None and listener.full:
            return
        if listener is None or server.state not in (CONNECTING, SYN_RECEIVED):
            lost = not self._travel(server, self._refused)
            self._show(server, "RA", 0, 1, lost)
            return
        server.state = SYN_RECEIVED
        if self._echo_s is None:
            self._echo_s = self._syn_at_s
        self._answer()

    def _answer(self) -> None:
        self._answered_at_s = self._now_s()
        lost = not self._travel(self.server, self._answered)
        self._show(self.server, "SA", 0, 1, lost)
        if not self.server.connection.clean:
            self.unanswered()

    def _answer_again(self) -> None:
        self._answer_timer = None
        if self.server.state != SYN_RECEIVED:
            return
        if self.answers >= self.server.host.tcp.syn_ack_retries:
            self.server.vanish()
            return
        self.answers += 1
        self._answer()
        self.unanswered()

    # --- both ---

    def _travel(self, sender: Endpoint, arrived: Callable[[], None]) -> bool:
        """Send a segment without bytes; False when it is lost on the way."""
        delay_s = sender.crossing_s(0, self._now_s())
        if not sender.path_up or sender.loses():
            return False
        self._later(delay_s, arrived)
        return True

    def _now_s(self) -> float:
        return self.network.clock.now_s()

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        self.network.clock.call_later(delay_s, call)

    def _show(self, sender: Endpoint, flags: str, seq: int, ack: int, lost: bool) -> None:
        tap = self.network.tap
        if tap is not None and sender.host.link.state != "off":
            tap.segment(sender, flags, seq, ack, b"", lost)
