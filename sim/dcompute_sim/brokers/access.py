"""Who may say and hear what: the rights of nodes, masters and executors, and the rules of brokers made of
them.

Rules
1. A node says its own status, results, initialisation and words on updates, and hears its own topics. It
   hears nothing of the other nodes: their incarnations, which prove to a master that a result or an
   announcement is theirs (docs/security.md), stay unknown to it.
2. A master says tasks, updates and, in the place of the dead, statuses, and hears what nodes say. An executor
   hears the answers to itself, and says what its queue is. Both are the operator's own programs and trusted
   with the whole fleet.
3. Names are what the broker has proven: a right is a user's, never a client id's, which anybody can claim.
   So a client id is bound to its user too, or a rogue would throw others out by their ids.

What is not listed is not allowed. There is one list here; mosquitto's file, EMQX's and our own brokers follow
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from dcompute.node_core import Topics
from dcompute.protocol import queue_topic, update_topic, updates_topic

_DROPPED = "$SYS/broker/publish/messages/dropped"


class UserRole(StrEnum):
    """What a user is, which says what it may do."""

    NODE = "node"
    MASTER = "master"
    EXECUTOR = "executor"
    ANY = "any"


@dataclass(frozen=True)
class Grant:
    """A user's role, below a namespace ("" for none). A node's user has the node's id for its name."""

    user: str
    role: UserRole = UserRole.NODE
    namespace: str = ""


@dataclass(frozen=True)
class Rights:
    """Topic filters that a user may publish to, and subscribe to."""

    writes: tuple[str, ...]
    reads: tuple[str, ...]

    def may_publish(self, topic: str) -> bool:
        """Tell whether a message on `topic` is allowed."""
        return any(covers(right, topic) for right in self.writes)

    def may_subscribe(self, topic_filter: str) -> bool:
        """Tell whether all that `topic_filter` can bring is allowed."""
        return any(covers(right, topic_filter) for right in self.reads)


def rights_of(grant: Grant) -> Rights:
    """Return what the user may do."""
    topics, name = Topics(grant.namespace), grant.user
    any_node, any_answer = topics.task_of("+"), f"{topics.results}/+"
    if grant.role is UserRole.NODE:
        said = (topics.status_of(name), topics.initialisation, topics.results, any_answer)
        heard = (topics.task_of(name), topics.status_of(name), update_topic(topics, name))
        return Rights((*said, updates_topic(topics)), heard)
    if grant.role is UserRole.ANY:
        return Rights(("#",), ("#", "$SYS/#"))
    of_nodes = (topics.status_of("+"), topics.initialisation, topics.results)
    if grant.role is UserRole.EXECUTOR:
        queue = queue_topic(topics, name)
        return Rights((any_node, topics.status_of("+"), queue), (*of_nodes, f"{topics.results}/{name}"))
    told = (any_node, topics.status_of("+"), update_topic(topics, "+"))
    of_executors = queue_topic(topics, "+")
    return Rights(told, (*of_nodes, any_answer, of_executors, updates_topic(topics), _DROPPED))


def covers(right: str, wanted: str) -> bool:
    """Tell whether everything that the filter (or topic) `wanted` matches is matched by `right`.

    A leading wildcard does not match what begins with `$` [MQTT-4.7.2-1].
    """
    if wanted.startswith("$") and right.startswith(("+", "#")):
        return False
    mine, theirs = right.split("/"), wanted.split("/")
    for place, level in enumerate(mine):
        if level == "#":
            return True
        if place == len(theirs):
            return False
        if theirs[place] == "#" or (level != "+" and level != theirs[place]):
            return False
    return len(mine) == len(theirs)


class AccessRules:
    """The rules of a broker of ours.

    Args:
        grants: one for each user; who has none may do nothing.
    """

    def __init__(self, grants: Iterable[Grant]) -> None:
        self._grants = {grant.user: grant for grant in grants}
        self._rights: dict[str, Rights] = {}

    def may_connect(self, user: str, client_id: str) -> bool:
        """Tell whether `user` may take `client_id`: a node its own; nobody that of another user."""
        grant = self._grants.get(user)
        if grant is None:
            return False
        return client_id == user or (grant.role is not UserRole.NODE and client_id not in self._grants)

    def of(self, user: str) -> Rights:
        """Return the user's rights."""
        rights = self._rights.get(user)
        if rights is None:
            grant = self._grants.get(user)
            rights = self._rights[user] = rights_of(grant) if grant is not None else Rights((), ())
        return rights


def mosquitto_rules(grants: Iterable[Grant]) -> str:
    """Return mosquitto's acl_file; VerneMQ's vmq_acl reads the same. What it needs beside stands in its
    head."""
    lines = [
        "# Written by `dcompute acl`: who is not named here may do nothing. In mosquitto.conf it needs",
        "#   allow_anonymous false",
        "#   password_file ...          (as `dcompute broker passwd` and mosquitto_passwd write it)",
        "#   acl_file ...               (this file)",
        "#   use_username_as_clientid true",
        "# The last line binds client ids to users: each program then needs a user of its own.",
    ]
    for grant in grants:
        rights = rights_of(grant)
        lines += ["", f"# {grant.role}", f"user {grant.user}"]
        lines += [f"topic write {topic}" for topic in rights.writes]
        lines += [f"topic read {topic}" for topic in rights.reads]
    return "\n".join(lines) + "\n"


def emqx_rules(grants: Iterable[Grant]) -> str:
    """Return EMQX's acl.conf (5.x), the last rule of which denies what no other allows."""
    lines = [
        "%% Written by `dcompute acl`: who is not named here may do nothing. EMQX's configuration needs",
        "%%   authorization.no_match = deny",
        "%%   mqtt.use_username_as_clientid = true   (each program then needs a user of its own)",
    ]
    for grant in grants:
        rights = rights_of(grant)
        lines += ["", f"%% {grant.role}"]
        for access, filters in (("publish", rights.writes), ("subscribe", rights.reads)):
            listed = ", ".join(f'"{each}"' for each in filters)
            lines.append(f'{{allow, {{username, "{grant.user}"}}, {access}, [{listed}]}}.')
    return "\n".join([*lines, "", "{deny, all}."]) + "\n"


WRITERS: Mapping[str, Callable[[Iterable[Grant]], str]] = {
    "mosquitto": mosquitto_rules,
    "emqx": emqx_rules,
}
"""By the broker that reads what they write."""
