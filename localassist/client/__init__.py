"""The native face: the openai SDK's resources, in process."""
