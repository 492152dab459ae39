"""The parts of amqtt that the corrections lean on, private names above all, as they were when last reviewed.

A test compares; when it turns red after an update of amqtt, read what changed, adapt the corrections, run the
probes of both brokers, and write the new fingerprints down here:
`python -m dcompute_sim.brokers.embedded.guard`.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from amqtt import adapters, broker, codecs_amqtt, mqtt, session
from amqtt.mqtt import connect, packet, publish, subscribe, unsubscribe
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.mqtt.protocol.handler import ProtocolHandler
from amqtt.plugins import base, manager


class Fingerprint(NamedTuple):
    parameters: str
    source: str  # of the source text


# What we override or call, and amqtt's own code that calls what we override.
_NAMES: dict[str, Any] = {
    "Broker.__init__": broker.Broker.__init__,
    "Broker.start": broker.Broker.start,
    "Broker._start_listeners": broker.Broker._start_listeners,
    "Broker.shutdown": broker.Broker.shutdown,
    "Broker.external_connected": broker.Broker.external_connected,
    "Broker._client_connected": broker.Broker._client_connected,
    "Broker._initialize_client_session": broker.Broker._initialize_client_session,
    "Broker._handle_client_session": broker.Broker._handle_client_session,
    "Broker._authenticate": broker.Broker._authenticate,
    "Broker._session_monitor": broker.Broker._session_monitor,
    "Broker._cleanup_session": broker.Broker._cleanup_session,
    "Broker._stop_handler": broker.Broker._stop_handler,
    "Broker._broadcast_loop": broker.Broker._broadcast_loop,
    "Broker._broadcast_message": broker.Broker._broadcast_message,
    "Broker.retain_message": broker.Broker.retain_message,
    "Broker.add_subscription": broker.Broker.add_subscription,
    "Broker._del_all_subscriptions": broker.Broker._del_all_subscriptions,
    "BrokerProtocolHandler.init_from_connect": BrokerProtocolHandler.init_from_connect,
    "BrokerProtocolHandler.mqtt_connack_authorize": BrokerProtocolHandler.mqtt_connack_authorize,
    "BrokerProtocolHandler.mqtt_acknowledge_subscription": (
        BrokerProtocolHandler.mqtt_acknowledge_subscription
    ),
    "BrokerProtocolHandler.mqtt_acknowledge_unsubscription": (
        BrokerProtocolHandler.mqtt_acknowledge_unsubscription
    ),
    "BrokerProtocolHandler.handle_pingreq": BrokerProtocolHandler.handle_pingreq,
    "ProtocolHandler.__init__": ProtocolHandler.__init__,
    "ProtocolHandler._init_session": ProtocolHandler._init_session,
    "ProtocolHandler.attach": ProtocolHandler.attach,
    "ProtocolHandler._send_packet": ProtocolHandler._send_packet,
    "Session": session.Session,
    "ApplicationMessage": session.ApplicationMessage,
    "IncomingApplicationMessage": session.IncomingApplicationMessage,
    "OutgoingApplicationMessage": session.OutgoingApplicationMessage,
    "StreamReaderAdapter": adapters.StreamReaderAdapter,
    "StreamWriterAdapter": adapters.StreamWriterAdapter,
    "BufferReader": adapters.BufferReader,
    "packet_class": mqtt.packet_class,
    "MQTTFixedHeader": packet.MQTTFixedHeader,
    "MQTTPacket": packet.MQTTPacket,
    "ConnectPayload.from_stream": connect.ConnectPayload.from_stream,
    "PublishPacket": publish.PublishPacket,
    "PublishPayload.from_stream": publish.PublishPayload.from_stream,
    "SubscribePayload.from_stream": subscribe.SubscribePayload.from_stream,
    "UnubscribePayload.from_stream": unsubscribe.UnubscribePayload.from_stream,
    "decode_string": codecs_amqtt.decode_string,
    "BaseAuthPlugin": base.BaseAuthPlugin,
    "PluginManager.fire_event": manager.PluginManager.fire_event,
    "PluginManager.map_plugin_auth": manager.PluginManager.map_plugin_auth,
}

REVIEWED: dict[str, Fingerprint] = {
    "Broker.__init__": Fingerprint("self config loop plugin_namespace", "5158ff3ca6493baf"),
    "Broker.start": Fingerprint("self", "bd1c165101f6fcbb"),
    "Broker._start_listeners": Fingerprint("self", "5ac2d716d33babb4"),
    "Broker.shutdown": Fingerprint("self", "800adcdd80ded223"),
    "Broker.external_connected": Fingerprint("self reader writer listener_name", "4cd2084de8c317f3"),
    "Broker._client_connected": Fingerprint("self listener_name reader writer", "432b724bc4fb7946"),
    "Broker._initialize_client_session": Fingerprint(
        "self reader writer remote_address remote_port", "5dd89158bbe46266"
    ),
    "Broker._handle_client_session": Fingerprint(
        "self reader writer client_session handler server listener_name", "8b1b52a03df9daf5"
    ),
    "Broker._authenticate": Fingerprint("self session _", "4d7db8cc6fe2c3f6"),
    "Broker._session_monitor": Fingerprint("self", "5091fa20cdfdc203"),
    "Broker._cleanup_session": Fingerprint("self client_id", "530ae891d9f536cc"),
    "Broker._stop_handler": Fingerprint("self handler", "496013328caf21d0"),
    "Broker._broadcast_loop": Fingerprint("self", "371196a6242c2e35"),
    "Broker._broadcast_message": Fingerprint("self session topic data force_qos", "78ad4edb7efb3b72"),
    "Broker.retain_message": Fingerprint("self source_session topic_name data qos", "6233eff2618baede"),
    "Broker.add_subscription": Fingerprint("self subscription session", "07757b63113c395e"),
    "Broker._del_all_subscriptions": Fingerprint("self session", "615579810f47d1e0"),
    "BrokerProtocolHandler.init_from_connect": Fingerprint(
        "reader writer plugins_manager loop", "036dc04c1133a18f"
    ),
    "BrokerProtocolHandler.mqtt_connack_authorize": Fingerprint("self authorize", "4e64256ea1f5c73c"),
    "BrokerProtocolHandler.mqtt_acknowledge_subscription": Fingerprint(
        "self packet_id return_codes", "002366e76dc0b16a"
    ),
    "BrokerProtocolHandler.mqtt_acknowledge_unsubscription": Fingerprint(
        "self packet_id", "ff00926898462a07"
    ),
    "BrokerProtocolHandler.handle_pingreq": Fingerprint("self pingreq", "de126279f40d7031"),
    "ProtocolHandler.__init__": Fingerprint("self plugins_manager session loop", "1d65aad5a7b47e7d"),
    "ProtocolHandler._init_session": Fingerprint("self session", "d8f6979793e163e9"),
    "ProtocolHandler.attach": Fingerprint("self session reader writer", "ff8ecc04c80a9feb"),
    "ProtocolHandler._send_packet": Fingerprint("self packet", "9f0ae4e325319652"),
    "Session": Fingerprint("", "0ad91e23a868489b"),
    "ApplicationMessage": Fingerprint("packet_id topic qos data retain", "08df93d9ee2f9b50"),
    "IncomingApplicationMessage": Fingerprint("packet_id topic qos data retain", "3f15ec00aeedea2a"),
    "OutgoingApplicationMessage": Fingerprint("packet_id topic qos data retain", "3083eb4e5e796eb9"),
    "StreamReaderAdapter": Fingerprint("reader", "4a8a1d9d895e9fa9"),
    "StreamWriterAdapter": Fingerprint("writer", "13443b04a31609bb"),
    "BufferReader": Fingerprint("buffer", "9a168fc3a998e9d9"),
    "packet_class": Fingerprint("fixed_header", "ef342964b5e468c6"),
    "MQTTFixedHeader": Fingerprint("packet_type flags length", "b98fb539893a5d6c"),
    "MQTTPacket": Fingerprint("fixed variable_header payload", "4ea94315ded362c6"),
    "ConnectPayload.from_stream": Fingerprint("reader _ variable_header", "6fc405be90e1b077"),
    "PublishPacket": Fingerprint("fixed variable_header payload", "855ceb6d8fd1d631"),
    "PublishPayload.from_stream": Fingerprint("reader fixed_header variable_header", "54b078cb32a68701"),
    "SubscribePayload.from_stream": Fingerprint("reader fixed_header variable_header", "03f57a909e59f084"),
    "UnubscribePayload.from_stream": Fingerprint("reader fixed_header variable_header", "6511411f53b2212d"),
    "decode_string": Fingerprint("reader", "ee421b381355a5af"),
    "BaseAuthPlugin": Fingerprint("context", "376a90505d75bcbe"),
    "PluginManager.fire_event": Fingerprint("self event_name wait method_kwargs", "31212e4fc0010cdb"),
    "PluginManager.map_plugin_auth": Fingerprint("self session", "f57b002e31e5f17a"),
}


def fingerprint(part: Callable[..., Any]) -> Fingerprint:
    source = inspect.getsource(part).encode()
    return Fingerprint(" ".join(inspect.signature(part).parameters), hashlib.sha256(source).hexdigest()[:16])


def fingerprints() -> dict[str, Fingerprint]:
    """Return those of the amqtt that is installed."""
    return {name: fingerprint(part) for name, part in _NAMES.items()}


def changes(reviewed: Mapping[str, Fingerprint], installed: Mapping[str, Fingerprint]) -> list[str]:
    """Return what differs, one sentence a name."""
    found = []
    for name in sorted(reviewed.keys() | installed.keys()):
        before, now = reviewed.get(name), installed.get(name)
        if before is None or now is None:
            found.append(f"{name}: {'not reviewed yet' if before is None else 'no longer leant on'}")
        elif before.parameters != now.parameters:
            found.append(f"{name}: its parameters were ({before.parameters}), are ({now.parameters})")
        elif before.source != now.source:
            found.append(f"{name}: its source changed")
    return found


if __name__ == "__main__":
    for name, (parameters, source) in fingerprints().items():
        print(f"    {name!r}: Fingerprint({parameters!r}, {source!r}),")
