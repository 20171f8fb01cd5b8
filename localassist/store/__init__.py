"""The only place with SQL: one SQLite file, one write lock, a reading connection per OS thread."""
