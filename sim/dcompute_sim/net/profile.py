"""How patient a TCP stack is: retransmission times and give-up limits of the two kernels that are simulated.

Linux (net/ipv4, Documentation/networking/ip-sysctl): the timeout is SRTT + max(TCP_RTO_MIN 200 ms, 4 RTTVAR),
1 s before the first measurement (TCP_TIMEOUT_INIT), doubled up to TCP_RTO_MAX 120 s. tcp_retries2 = 15 is no
count: ETIMEDOUT comes with the first timeout after the 924.6 s that 15 retransmissions of a short round trip
would take. A SYN is repeated after 1 s, doubled, tcp_syn_retries = 6: 127 s; a SYN-ACK tcp_synack_retries = 5
times. The window begins with 10 segments (RFC 6928) and is counted in segments. Timestamps (RFC 7323) are on.
Loss is told by what arrived later, and probed for (RFC 8985).

lwIP as ESP-IDF configures it (lwip/src/core/tcp.c, components/lwip/Kconfig): LWIP_TCP_RTO_TIME 1,500 ms,
three ticks of the 500 ms slow timer, which is also what measured short round trips settle on; shifted left by
tcp_backoff = 1, 2, ... 7, so up to 192 s; LWIP_TCP_MAXRTX 12, given up on the tick after the twelfth.
A SYN is repeated every 1.5 s without backoff, LWIP_TCP_SYNMAXRTX 12 times: 18.5 s. Send buffer 5,760
bytes, 4 MSS. No timestamps; what lies beyond a gap is kept, and not named (LWIP_TCP_SACK_OUT is off).
"""

from __future__ import annotations

from dataclasses import dataclass

from dcompute_sim.net.round_trip import RoundTrip, SmoothedRoundTrip, TickedRoundTrip


@dataclass(frozen=True, slots=True)
class TcpProfile:
    """One kernel's values. An interval before retransmission n (from 0) is the timeout x 2^n, at most
    `rto_max_s`. It gives up at a timeout when it has sent again `retries` times and, since the first of them,
    `patience_s` have passed."""

    rto_initial_s: float  # before anything was measured
    rto_max_s: float
    retries: int
    patience_s: float
    syn_rto_s: float
    syn_rto_max_s: float
    syn_retries: int
    syn_ack_retries: int
    send_buffer_bytes: int  # what may be sent and not yet read by the other side's program
    initial_window: int  # segments
    timestamps: bool
    probes: bool  # it knows RACK-TLP (`loss_probes`), where the other side names what it holds [RFC 2018]
    rto_floor_s: float = 0.0  # added to the round trip where its deviation is smaller
    tick_s: float | None = None  # of a stack that measures with a coarse timer
    give_up_after_s: float | None = None  # from the last retransmission; None: one more interval

    @property
    def header_bytes(self) -> int:
        """What a segment carries beside its bytes: IPv4 and TCP, 20 each; timestamps, 12."""
        return 52 if self.timestamps else 40

    def round_trip(self) -> RoundTrip:
        """Return a fresh measurement of one connection."""
        if self.tick_s is not None:
            return TickedRoundTrip(self.rto_initial_s, self.tick_s)
        return SmoothedRoundTrip(self.rto_initial_s, self.rto_floor_s)

    def wait_s(self, rto_s: float, attempts: int) -> float:
        """Tell how long to wait for an acknowledgement after `attempts` retransmissions."""
        if self.give_up_after_s is not None and attempts >= self.retries:
            return self.give_up_after_s
        return min(rto_s * 2.0 ** min(attempts, 64), self.rto_max_s)

    def syn_wait_s(self, attempts: int) -> float:
        """Tell how long to wait for the answer to a SYN that was repeated `attempts` times."""
        if self.give_up_after_s is not None and attempts >= self.syn_retries:
            return self.give_up_after_s
        return min(self.syn_rto_s * 2.0 ** min(attempts, 64), self.syn_rto_max_s)


LINUX = TcpProfile(
    rto_initial_s=1.0,
    rto_floor_s=0.2,
    rto_max_s=120.0,
    retries=0,
    patience_s=924.6,
    syn_rto_s=1.0,
    syn_rto_max_s=120.0,
    syn_retries=6,
    syn_ack_retries=5,
    send_buffer_bytes=256 * 1024,
    initial_window=10,
    timestamps=True,
    probes=True,
)
LWIP_ESP32 = TcpProfile(
    rto_initial_s=1.5,
    tick_s=0.5,
    rto_max_s=192.0,
    retries=12,
    patience_s=0.0,
    syn_rto_s=1.5,
    syn_rto_max_s=1.5,
    syn_retries=12,
    syn_ack_retries=12,
    send_buffer_bytes=2 * 5760,  # its send buffer and the receiver's window
    initial_window=4,
    timestamps=False,
    probes=False,
    give_up_after_s=0.5,
)
