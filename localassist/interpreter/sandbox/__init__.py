"""Confinement of processes by the operating system. Knows nothing of Jupyter."""
