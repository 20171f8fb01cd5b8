"""The operations: what localassist can do, in the caller's OS thread."""
