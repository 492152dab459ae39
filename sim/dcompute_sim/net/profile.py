"""How patient a TCP stack is: retransmission times and give-up limits of the two kernels that are simulated.

Linux (net/ipv4, Documentation/networking/ip-sysctl): TCP_RTO_MIN 200 ms is the floor of the retransmission
timeout, and what a link with a short round trip settles on; doubled up to TCP_RTO_MAX 120 s; tcp_retries2
= 15, that is 924.6 s until ETIMEDOUT. A SYN is repeated after TCP_TIMEOUT_INIT 1 s, doubled,
tcp_syn_retries = 6: 127 s.

lwIP as ESP-IDF configures it (lwip/src/core/tcp.c, components/lwip/Kconfig): LWIP_TCP_RTO_TIME 1,500 ms,
three ticks of the 500 ms slow timer, which is also what measured short round trips settle on; shifted left by
tcp_backoff = 1, 2, ... 7, so up to 192 s; LWIP_TCP_MAXRTX 12, given up on the tick after the twelfth.
A SYN is repeated every 1.5 s without backoff, LWIP_TCP_SYNMAXRTX 12 times: 18.5 s. Send buffer 5,760
bytes, 4 MSS.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TcpProfile:
    """One kernel's values. An interval before retransmission n (from 0) is `rto_s` x 2^n, at most
    `rto_max_s`."""

    rto_s: float
    rto_max_s: float
    retries: int
    syn_rto_s: float
    syn_rto_max_s: float
    syn_retries: int
    send_buffer_bytes: int  # what may be sent and not yet read by the other side's program
    give_up_after_s: float | None = None  # from the last retransmission; None: one more interval

    def wait_s(self, attempts: int) -> float:
        """How long to wait for an acknowledgement after `attempts` retransmissions."""
        return self._wait_s(self.rto_s, self.rto_max_s, attempts, self.retries)

    def syn_wait_s(self, attempts: int) -> float:
        """How long to wait for the answer to a SYN that was repeated `attempts` times."""
        return self._wait_s(self.syn_rto_s, self.syn_rto_max_s, attempts, self.syn_retries)

    def _wait_s(self, first_s: float, most_s: float, attempts: int, retries: int) -> float:
        if attempts >= retries and self.give_up_after_s is not None:
            return self.give_up_after_s
        return min(first_s * 2.0 ** min(attempts, 64), most_s)


LINUX = TcpProfile(
    rto_s=0.2,
    rto_max_s=120.0,
    retries=15,
    syn_rto_s=1.0,
    syn_rto_max_s=120.0,
    syn_retries=6,
    send_buffer_bytes=256 * 1024,
)
LWIP_ESP32 = TcpProfile(
    rto_s=1.5,
    rto_max_s=192.0,
    retries=12,
    syn_rto_s=1.5,
    syn_rto_max_s=1.5,
    syn_retries=12,
    send_buffer_bytes=2 * 5760,  # its send buffer and the receiver's window
    give_up_after_s=0.5,
)
