"""Whether the installed llama.cpp should be compiled anew; ends with status 1 if so.

pip keeps what it has compiled, also from before the Makefile knew how (before_llama.h). A build
for a GPU is left alone: who made it chose what we would not choose again.
"""

from __future__ import annotations

import sys

import llama_cpp

from localassist.engine import amx, llama_build

llama_cpp.llama_backend_init()
found = [
    *([llama_build.SLOW] if llama_build.attends_slowly(llama_cpp) else []),
    *([] if amx.usable(llama_cpp) else ["AMX cannot be used"]),
]
for each in found:
    sys.stderr.write(f"llama.cpp: {each}\n")
sys.exit(bool(found) and not llama_cpp.llama_supports_gpu_offload())
