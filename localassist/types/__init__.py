"""What crosses the API: pure values, no input or output, no ids made here."""
