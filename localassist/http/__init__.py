"""The wire face: the operations as HTTP, for the openai SDK in process and for a server."""
