"""What several chats at once are to reach beside the peers, by model, peer and number of chats."""

from __future__ import annotations

from benchmarks.harness import Target

# Tokens a second over the peer's.
_TOTALS = {
    ("0.5b", "lock", 3): 1.1,
    ("0.5b", "lock", 8): 1.9,
    ("0.5b", "server", 3): 1.0,
    ("0.5b", "server", 8): 1.2,
    ("1.5b", "lock", 3): 1.5,
    ("1.5b", "lock", 8): 1.9,
    ("1.5b", "server", 3): 1.08,
    ("1.5b", "server", 8): 1.2,
}
# Mean time to the first token over the server's.
_FIRSTS = {3: 0.65, 8: 0.45}


def total(label: str, kind: str, count: int) -> Target | None:
    """Of the tokens of all chats; None where nothing is promised."""
    for (size, peer, number), limit in _TOTALS.items():
        if size in label and (peer, number) == (kind, count):
            return Target(limit, at_least=True)
    return None


def first_token(label: str, kind: str, count: int) -> Target | None:
    """Of the mean time to the first token; None where nothing is promised."""
    is_promised = total(label, kind, count) is not None and kind == "server"
    return Target(_FIRSTS[count]) if is_promised else None
