"""What hostile code tries, by what it is after."""

from __future__ import annotations

from localassist.interpreter.attacks import exhausting, leaving, network, reading, writing

ATTACKS = (
    *reading.ATTACKS,
    *network.ATTACKS,
    *writing.ATTACKS,
    *leaving.ATTACKS,
    *exhausting.ATTACKS,
)
