"""xllamacpp's server until standard input ends; its address is the one line that it prints.

Runs in the Python that has xllamacpp, and therefore imports nothing else: see `engine_peers`.
"""

import importlib
import json
import sys


def main() -> None:
    """Serve."""
    path, options = sys.argv[1], json.loads(sys.argv[2])
    xllamacpp = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_gpu_layers = 0
    params.n_ctx, params.n_batch = options["n_ctx"], options["n_batch"]
    params.n_parallel = options["slots"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options["n_threads"]
    if options.get("jinja"):
        params.use_jinja = True
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
