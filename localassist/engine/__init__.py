"""Tokens in, tokens out. Knows no API object and no SQLite.

One worker, an OS thread for each loaded model, owns the llama.cpp context; everybody else talks
to it through an inbox and gets a `Generation` back.
"""
