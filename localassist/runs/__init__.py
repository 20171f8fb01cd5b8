"""What a run does: its states, its prompt, its record, and who executes it."""
