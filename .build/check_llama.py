"""Whether the installed llama.cpp is as good as it can be here; ends with status 1 if not.

pip keeps what it has compiled, also from before the Makefile knew how (before_llama.h).
"""

from __future__ import annotations

import sys

import llama_cpp

from localassist.engine import amx, llama_build

llama_cpp.llama_backend_init()
sys.exit(llama_build.attends_slowly(llama_cpp) or not amx.usable(llama_cpp))
