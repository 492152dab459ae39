"""An attempt to connect, on the virtual network."""

from __future__ import annotations

from dcompute.drivers import Address, ChannelUser
from dcompute_sim.net.network import Host


class Dial:
    """One that is over when TCP has connected."""

    def __init__(self, host: Host, address: Address, user: ChannelUser) -> None:
        self._user = user
        self._given_up = False
        self._stream = host.connect_stream(address.host, address.port, self._done)

    def _done(self, error: OSError | None) -> None:
        if self._given_up:
            return
        if error is not None:
            self._user.channel_lost(error)
            return
        self._stream.on_data = self._user.channel_data
        self._stream.on_closed = self._user.channel_lost
        self._user.channel_open(self._stream)

    def cancel(self) -> None:
        if not self._given_up:
            self._given_up = True
            self._stream.abort()
