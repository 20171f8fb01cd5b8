"""The code interpreter: Jupyter kernels in a sandbox of the operating system."""
