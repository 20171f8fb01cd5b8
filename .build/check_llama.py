"""Whether the installed llama.cpp can be used whole; ends with status 1 if not.

pip keeps what it has compiled, also from before the Makefile knew how (amx_tiles.h).
"""

from __future__ import annotations

import sys

import llama_cpp

from localassist.engine import amx

llama_cpp.llama_backend_init()
sys.exit(not amx.usable(llama_cpp))
