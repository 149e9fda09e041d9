"""Gossip as one part of the daemon: from settings to a shell, and from what it tells to log lines, evidence, trust.

    off: no key file (`auto`), or switched off       on: `shell` is there

What others do with gossip (standing, shared ejection, relay) they do through `shell`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import trio

from sidecar.agent.gossip_keys import EpochFile, KeyringFile, host_signer
from sidecar.agent.gossip_log import GossipLog
from sidecar.agent.gossip_options import KEY_FILE
from sidecar.agent.gossip_shell import GossipShell, Place, Told
from sidecar.agent.gossip_state import describe, describe_off
from sidecar.agent.log import log
from sidecar.agent.seeds import Seeds
from sidecar.agent.settings import SidecarSettings
from sidecar.gossip import LAN, Signer, Status
from sidecar.gossip import events as on
from sidecar.gossip.frames import NODE_CHARS_MAX
from sidecar.mesh.mesh import Mesh
from store.catalog import Catalog
from store.errors import InputError
from store.objects.host import HostRegistration
from store.objects.mesh_config import AdmissionMode

__all__ = ["GossipSide", "Registered"]

PULSES_IN_GRACE = 3
"""A host that gossip holds alive is spoken for so often in each grace period of its registration."""
PULSE_LONGEST_S = 5.0
"""Between two looks at hosts whose registration ran out; there are none in a healthy mesh."""
PULSE_SHORTEST_S = 0.2
"""However short the grace period."""


class Registered(Protocol):
    """What is wanted of the node's registrations (`sidecar.registration.expiry.Registrations`)."""

    def registrations(self) -> Mapping[str, HostRegistration]:
        """Those in force."""
        ...

    def kept(self) -> Mapping[str, object]:
        """Hosts whose registration ran out."""
        ...


class GossipSide:
    """Gossip of one sidecar. Binds its port when it is made.

    Args:
        settings: The effective settings.
        address: The address that peers reach this host under.
        registered: The registrations in force.

    Raises:
        InputError: The key file, the host's key, the port or the node's name cannot be used.
    """

    def __init__(self, settings: SidecarSettings, address: str, registered: Registered) -> None:
        self._options = options = settings.gossip
        self._registered = registered
        self.shell: GossipShell | None = None
        """Gossip at work; None where it is off."""
        self.off = _why_off(settings)
        """Why it is off; empty when it is on."""
        self.signer: Signer | None = None
        """This host's own key; None where gossip is off."""
        self._log = GossipLog()
        self._reachable: set[str] = set()
        self._seen: object = None
        """Registrations at the last look."""
        self._trusted: tuple[object, bool] | None = None
        """Admissions at the last look, and whether nobody else is believed."""
        if self.off:
            return
        if len(settings.node) > NODE_CHARS_MAX:
            raise InputError(
                f"the node id has {len(settings.node)} characters; gossip carries names of at most {NODE_CHARS_MAX}",
                hint="Choose a shorter one (`node`), or set gossip.enabled to off",
            )
        own = settings.data_dir / settings.node
        keys = KeyringFile(_key_file(settings), options.mesh or settings.etcd.prefix)
        signer, self._key_not_kept = host_signer(own / "host.key")
        self.signer = signer
        bind = options.bind or address
        self._epochs = EpochFile(own / "gossip-epoch")
        self._seeds = Seeds(options.seeds, self._addresses)
        self.shell = GossipShell(
            Place(
                node=settings.node,
                advertise=options.advertise or _reachable_address(options.bind) or address,
                bind=bind,
                port=options.port,
            ),
            keys=keys,
            signer=signer,
            epochs=self._epochs,
            seeds=self._seeds,
            settings=replace(
                LAN,
                probe_interval_s=options.probe_interval_s,
                probe_timeout_s=options.probe_timeout_s,
            ),
        )
        self.shell.listen(self._heard)

    @property
    def address(self) -> str:
        """`address:port` of our gossip; empty when it is off."""
        return "" if self.shell is None else self.shell.address

    async def run(
        self, tell_alive: Callable[[frozenset[str]], None], grace_s: Callable[[], float]
    ) -> None:
        """Take part until cancelled.

        Args:
            tell_alive: Told again and again which hosts gossip holds alive though their registration ran out.
            grace_s: How long such hosts stay when nobody speaks for them.
        """
        if self.shell is None:
            log.info("gossip_off", reason=self.off)
            return
        for problem in (self._key_not_kept, self._epochs.error):
            if problem:
                log.warning("gossip_state_not_kept", reason=problem)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.shell.run)
            nursery.start_soon(self._pulse, self.shell, tell_alive, grace_s)
            nursery.start_soon(self._log.run)
            log.info(
                "gossip_started",
                address=self.address,
                keys=self.shell.keys.fingerprints(),
                epoch=self.shell.view().identity.epoch,
            )

    async def leave(self) -> None:
        """Say goodbye, where gossip is on; bounded in time."""
        if self.shell is not None:
            await self.shell.leave()

    def follow(self, catalog: Catalog, mesh: Mesh | None) -> None:
        """A snapshot was taken in: more seeds may be known, other hosts admitted. Looks only at what changed."""
        if self.shell is None:
            return
        registrations = self._registered.registrations()
        if registrations is not self._seen:
            self._seen = registrations
            if not self._reachable:
                self.shell.seeds_changed()
        is_closed = mesh is not None and mesh.config.admission is AdmissionMode.CLOSED
        trusted = (catalog.admission_entries, is_closed)
        if (
            self._trusted is None
            or trusted[0] is not self._trusted[0]
            or is_closed != self._trusted[1]
        ):
            self._trusted = trusted
            keys = {host: admission.key for host, admission in catalog.admissions.items()}
            self.shell.trust(on.TrustSet(keys, is_closed))
            if keys or is_closed:
                log.info("gossip_trust_changed", admitted=len(keys), is_closed=is_closed)

    def describe(self) -> dict[str, Any]:
        """The `gossip` part of the status, as plain JSON."""
        if self.shell is None or self.signer is None:
            return describe_off(self.off)
        problems = (self._key_not_kept, self._epochs.error, self.shell.keys.error)
        return describe(
            self.shell,
            public_key=self.signer.public,
            unresolved=self._seeds.unresolved,
            problems=tuple(problem for problem in problems if problem),
        )

    def _addresses(self) -> Iterable[str]:
        registrations = self._registered.registrations().values()
        return [row.gossip_address for row in registrations if row.gossip_address]

    def _heard(self, told: Told) -> None:
        self._log.note(told)
        if isinstance(told, on.MemberChanged):
            if told.after in (Status.ALIVE, Status.SUSPECT):
                self._reachable.add(told.identity.node)
            else:
                self._reachable.discard(told.identity.node)

    async def _pulse(
        self,
        shell: GossipShell,
        tell_alive: Callable[[frozenset[str]], None],
        grace_s: Callable[[], float],
    ) -> None:
        while True:
            pause_s = grace_s() / PULSES_IN_GRACE
            await trio.sleep(min(PULSE_LONGEST_S, max(PULSE_SHORTEST_S, pause_s)))
            kept = self._registered.kept()
            if kept and (alive := shell.view().names(Status.ALIVE).intersection(kept)):
                tell_alive(alive)


def _why_off(settings: SidecarSettings) -> str:
    options = settings.gossip
    if options.enabled == "off":
        return "gossip.enabled is off"
    file = _key_file(settings)
    if options.enabled == "auto" and not file.exists():
        return f"there is no key: {file} does not exist"
    return ""


def _key_file(settings: SidecarSettings) -> Path:
    return settings.gossip.key_file or settings.data_dir / KEY_FILE


def _reachable_address(bind: str) -> str:
    return "" if bind in ("", "0.0.0.0", "::") else bind
