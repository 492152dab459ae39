"""TLS: the broker's certificate is checked against MQTT_CA_FILE; without one it encrypts and says so."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .conftest import Rig


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for 127.0.0.1: its DER file, and a server that shows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    der, pem = folder / f"{name}.der", folder / f"{name}.pem"
    der.write_bytes(made.public_bytes(serialization.Encoding.DER))
    pem.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return der, context


def test_tls(rig: Rig, tmp_path: Path) -> None:
    async def go() -> None:
        async with rig:
            right, server = certificate(tmp_path, "right")
            wrong, _ = certificate(tmp_path, "wrong")
            checked, unchecked, refused = [await rig.raw_broker(server) for _ in range(3)]
            settings = {"MQTT_TLS": True, "MQTT_KEEPALIVE": 10}
            _, _, name = rig.start(
                checked.port, settings=settings | {"MQTT_CA_FILE": "right.der"}, extra=[right]
            )
            _, loose, _ = rig.start(unchecked.port, settings=settings)
            rig.start(unchecked.port, settings=settings | {"MQTT_TLS_INSECURE": True})
            _, strict, _ = rig.start(
                refused.port, settings=settings | {"MQTT_CA_FILE": "wrong.der"}, extra=[wrong]
            )
            session = await checked.session()
            session.publish(name, {"id": "a", "say": "x" * 3000})
            await checked.until(lambda: session.published("results"))
            await unchecked.session()
            await loose.line("config.py: MQTT_TLS needs MQTT_CA_FILE, or MQTT_TLS_INSECURE = True")
            await strict.line("cannot connect")
            assert not any(session.packets for session in refused.sessions)

    asyncio.run(go())
