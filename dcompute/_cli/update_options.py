"""What `dcompute update` is told: which version, and how fast it may spread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from dcompute._ota.campaign import TRIES, BadCampaign, Campaign, WavePlan
from dcompute.bundle import CONFIRM_S, Bundle, product_folder


@dataclass(frozen=True)
class Versions:
    """The version to go to, and the one to go back to."""

    bundle: Annotated[
        Path | None, typer.Option(help="Folder with the new program; default: our own firmware.")
    ] = None
    version: Annotated[str, typer.Option(help="Its name; default: from its contents.")] = ""
    confirm_s: Annotated[
        int, typer.Option("--confirm", min=10, max=3600, help="Seconds a board gives it to get ready.")
    ] = CONFIRM_S
    release: Annotated[
        int | None,
        typer.Option(
            min=0, help="What orders versions; default: a packed version's own, or the present second."
        ),
    ] = None
    back: Annotated[
        bool, typer.Option("--back", help="Also to a release that is not above the one that runs.")
    ] = False
    previous: Annotated[
        Path | None,
        typer.Option(help="Folder with the version before: after an abort, boards go back to it."),
    ] = None

    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Send it although something in it cannot work on a board.")
    ] = False

    def new(self, kept: Campaign | None) -> Bundle:
        """Return the version to go to; of a campaign that goes on, in its release. Raises BadBundle,
        OSError."""
        folder, release = self.bundle or product_folder(), self.release
        if release is None and kept is not None:
            release = kept.release
        name = self.version or (kept.version if kept is not None else "")
        return Bundle.from_folder(folder, name, self.confirm_s, release)

    def before(self) -> Bundle | None:
        """Return the version to go back to. Raises BadBundle, OSError."""
        return None if self.previous is None else Bundle.from_folder(self.previous, confirm_s=self.confirm_s)


@dataclass(frozen=True)
class Waves:
    """How fast it may spread; all boards at once when nothing of canaries, waves and an abort is said."""

    canaries: Annotated[
        str | None,
        typer.Option("--canaries", help="Boards to begin with: how many, or their ids (a,b); default: 1."),
    ] = None
    wave: Annotated[
        str | None, typer.Option(help="Boards a wave: a number, or a share such as 10%, the default.")
    ] = None
    pause_s: Annotated[
        float | None, typer.Option("--pause", min=0, help="Seconds between two waves; default: 60.")
    ] = None
    abort: Annotated[
        str | None,
        typer.Option(
            help="Stop when more than this share of the boards that took it do not run it; default: 10%."
        ),
    ] = None
    tries: Annotated[
        int, typer.Option(min=1, help="Tries of a board that does not answer, before it is passed over.")
    ] = TRIES
    state: Annotated[
        Path | None,
        typer.Option(help="File that keeps how far it is: the same command goes on from there."),
    ] = None
    retry_boxed: Annotated[
        bool, typer.Option("--retry-boxed", help="Also the boards that were passed over before.")
    ] = False
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which board comes in which wave, and end.")
    ] = False

    def plan(self, *, can_return: bool) -> WavePlan:
        """Return the plan of the campaign. Raises BadCampaign for what makes no sense.

        `can_return`: what boards go back to after an abort was said, so there may be one.
        """
        said = (self.canaries, self.wave, self.pause_s, self.abort)
        if not can_return and all(option is None for option in said):
            return WavePlan(canaries=0, wave=1_000_000, pause_s=0, abort_share=1, tries=1)
        canaries = "1" if self.canaries is None else self.canaries
        return WavePlan(
            int(canaries) if canaries.isdigit() else tuple(canaries.split(",")),
            share(self.wave or "10%", whole=True),
            60.0 if self.pause_s is None else self.pause_s,
            share(self.abort or "10%", whole=False),
            self.tries,
        )


def share(text: str, *, whole: bool) -> float:
    """Read `10%` as 0.1; with `whole` also a number of boards. Raises BadCampaign."""
    try:
        if text.endswith("%"):
            return float(text[:-1]) / 100
        if whole:
            return int(text)
    except ValueError:
        pass
    wanted = "a share such as 10%, or a number of boards" if whole else "a share such as 10%"
    raise BadCampaign(f"{text!r}: {wanted}, please")
