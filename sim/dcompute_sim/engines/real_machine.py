"""A participant's machine in real time: this process, behind a fault proxy that is its link."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from dcompute.drivers import Driver
from dcompute.security import tls_context
from dcompute_sim.brokers.external import ExternalBroker
from dcompute_sim.brokers.model.tcp_server import protocol_factory
from dcompute_sim.brokers.real_broker import RealBroker
from dcompute_sim.brokers.stand_in import stand_in
from dcompute_sim.faults.injection import Answer
from dcompute_sim.interfaces.suspendable import SuspendableDriver
from dcompute_sim.interfaces.tls_logins import TlsLogins
from dcompute_sim.interfaces.world import EngineError, Login
from dcompute_sim.net.observer import ByteTap
from dcompute_sim.net.proxy import FaultProxy
from dcompute_sim.net.tls_front import TlsFront
from dcompute_sim.scenario import NetworkSettings


class RealMachine:
    """A participant's link: its fault proxy, or (auditor, probe clients) a plain connection to the broker.

    `on_silence(silent)` is told, where somebody must know: the kernel completes a connection to the proxy
    even while the link is silent, which no far end of a dead link would.
    """

    on_silence: Callable[[bool], None] | None = None

    def __init__(
        self,
        name: str,
        driver: Driver,
        broker: RealBroker,
        proxy: FaultProxy | None,
        network: NetworkSettings,
        login: Login | None = None,
        logins: TlsLogins | None = None,
    ) -> None:
        self.name = name
        self.driver = driver
        self._broker = broker
        self._proxy = proxy
        self._network = network
        self._stand_ins: list[asyncio.Task[asyncio.Server]] = []
        self.login = login or login_of(broker)
        self._logins = logins
        self._front: TlsFront | None = None

    @property
    def address(self) -> tuple[str, int]:
        if self._proxy is not None:
            return self._proxy.host, self._proxy.port
        return self._broker.host, self._broker.port

    @property
    def proxy(self) -> FaultProxy:
        """The link, where there is one."""
        if self._proxy is None:
            raise EngineError(f"{self.name} has no link of its own to break")
        return self._proxy

    def crash(self, driver: SuspendableDriver) -> None:
        for channel in list(driver.channels):
            channel.abort()

    def power_cut(self, driver: SuspendableDriver) -> None:
        self.proxy.forget()
        self.crash(driver)

    def power_on(self) -> None:
        if self._proxy is not None:
            self._proxy.rebooted()

    def reset_connections(self) -> None:
        self.proxy.reset()

    def forget_connections(self) -> Callable[[], bool]:
        return self.proxy.forget_connections()

    def link_down(self, *, known: bool) -> None:
        self.proxy.down()
        if self.on_silence is not None:
            self.on_silence(True)

    def link_up(self) -> None:
        self.proxy.up()
        if self.on_silence is not None:
            self.on_silence(False)

    def turn_away(self, answer: Answer, told: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        other = stand_in(answer)
        serve = protocol_factory(other) if other is not None else asyncio.Protocol

        def accepted() -> asyncio.Protocol:
            told()
            return serve()

        listening = socket.create_server(("127.0.0.1", 0))
        self.proxy.upstream = listening.getsockname()

        self._stand_ins.append(loop.create_task(loop.create_server(accepted, sock=listening)))

    def let_in(self) -> None:
        self.proxy.upstream = self._front.address if self._front else (self._broker.host, self._broker.port)

    def read_along(self, tap: ByteTap) -> None:
        """Show `tap` what crosses the link; with `tls:`, what it is there without it."""
        if self._logins is None or self._logins.shown is None or self._logins.others.tls is None:
            self.proxy.tap = tap
            return
        broker = self._broker.host, self._broker.port
        self._front = TlsFront(self._logins.shown, broker, self._logins.others.tls, tap)
        self.proxy.tap, self.proxy.upstream = self._front, self._front.address
        self._stand_ins.append(asyncio.get_running_loop().create_task(self._front.start()))

    async def close(self) -> None:
        """Leave no connection and no listener behind."""
        if self._proxy is not None:
            await self._proxy.close()
        for listening in self._stand_ins:
            (await listening).close()

    def connections(self) -> int:
        return self.proxy.reached

    def crossings(self) -> int:
        return self.proxy.crossings

    def slow(self, latency_s: float | None, jitter_s: float | None, bytes_per_s: float | None) -> None:
        usual = self._network
        self.proxy.set_delay(
            usual.latency if latency_s is None else latency_s,
            usual.jitter if jitter_s is None else jitter_s,
            usual.bandwidth if bytes_per_s is None else bytes_per_s,
            usual.loss,
        )

    def restore(self) -> None:
        self.slow(None, None, None)


def login_of(broker: RealBroker) -> Login:
    """Return what the URL of somebody else's broker says."""
    if not isinstance(broker, ExternalBroker):
        return Login()
    tls = tls_context(broker.address.tls)
    if tls is not None:  # nodes reach it through their proxies, whose address no certificate names
        tls.check_hostname = False
    return Login(broker.address.username, broker.address.password, tls)
