"""Retrieval: from files to passages that are found, and to citations that are proven."""
