"""The text of files. A file is hostile input: it is read in a child process with limits."""
