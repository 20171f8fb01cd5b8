"""Object ids: a prefix and 24 characters of [A-Za-z0-9], sortable by the time they were made."""

from __future__ import annotations

import secrets
import string
import time

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_TIME_DIGITS = 9  # base 62: microseconds until the year 2398
_RANDOM_DIGITS = 15
_RANDOM_BITS = 89


def _base62(value: int, *, digits: int) -> str:
    out = []
    for _ in range(digits):
        value, digit = divmod(value, 62)
        out.append(ALPHABET[digit])
    return "".join(reversed(out))


def new_id(prefix: str) -> str:
    """Return `prefix` + `_` + 24 characters, which sort by the microsecond they were made in."""
    stamp = _base62(time.time_ns() // 1000, digits=_TIME_DIGITS)
    return f"{prefix}_{stamp}{_base62(secrets.randbits(_RANDOM_BITS), digits=_RANDOM_DIGITS)}"
