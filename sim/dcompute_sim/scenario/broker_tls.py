"""What a scenario asks of its broker's TLS."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dcompute_sim.yamlfile.yaml_model import Model

CertificateKind = Literal["valid", "other_name", "other_authority", "expired", "not_yet"]

BEGINS_S = 1_577_836_800
"""2020, from when certificates of a run hold."""
ENDS_S = 2_208_988_800
"""2040, until when; one that does not hold yet begins then."""
EXPIRED_S = 1_640_995_200
"""2022, when one ended that is expired."""
OTHER_NAME = "elsewhere.example"


def holds_between_s(kind: CertificateKind) -> tuple[int, int]:
    """Return from when until when a certificate of this kind holds, in either time."""
    if kind == "expired":
        return BEGINS_S, EXPIRED_S
    return (ENDS_S, 2 * ENDS_S) if kind == "not_yet" else (BEGINS_S, ENDS_S)


class BrokerTls(Model):
    """The broker speaks TLS, and nodes check its certificate against an authority of the run's.

    Master and the testbed's own clients believe whoever answers, so that a run sees what its nodes refuse.
    """

    certificate: CertificateKind = Field(
        default="valid",
        description="valid; other_name: for another machine; other_authority: signed by one that nobody "
        "knows; expired; not_yet: valid from 2040 on.",
    )
