"""Names for the entries of `faults`, `workload` and `updates` that have none of their own.

Rules:

* What is drawn for an entry (moments, victims, priorities, targets) comes from the seed and the entry's id.
  So an id must not change when another entry is added, changed or taken away.
* It is therefore made of what the entry itself says: its kind and a digest. Of entries that say the same, the
  second gets `-2`; taking one of them away takes the last one's draws away.
* `concretise` writes the ids down. What is made of a concrete scenario afterwards (a shorter fault, another
  moment) keeps the draws of what it was made of.

Rejected: the index in the list, which moved the draws of all later entries when one was removed, so that a
scenario that fails could not be made smaller entry by entry.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from dcompute_sim.yamlfile.yaml_model import ListEntry

E = TypeVar("E", bound=ListEntry)
_DIGITS = 5
_OF_THIS_MACHINE = {"bundle"}  # an absolute path


def with_ids(entries: Sequence[E], default_word: str) -> list[E]:
    """Return the entries, each with an id, unique among them.

    Args:
        default_word: what the id of one without a `kind` begins with.
    """
    taken = {entry.id for entry in entries}
    seen: Counter[str] = Counter()
    named = []
    for entry in entries:
        if entry.id is None:
            said = entry.model_dump(
                mode="json", by_alias=True, exclude_defaults=True, exclude=_OF_THIS_MACHINE
            )
            digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:_DIGITS]
            made = f"{said.get('kind', default_word)}.{digest}"
            name = made
            while name in taken:
                seen[made] += 1
                name = f"{made}-{seen[made] + 1}"
            taken.add(name)
            entry = entry.model_copy(update={"id": name})
        named.append(entry)
    return named
