/* Read before each of llama.cpp's C++ files; the Makefile says so to the compiler. */

/* GCC up to version 12 declares that loading a configuration of AMX tiles reads 8 of its 64 bytes.
 * llama.cpp fills one in on the stack; the compiler then leaves the other bytes as they are, and
 * the next instruction on a tile is an illegal one. This says that all 64 are read. */
#ifdef __AMX_TILE__
#include <immintrin.h>
#undef _tile_loadconfig
#define _tile_loadconfig(config) \
    __asm__ volatile("ldtilecfg %0" : : "m"(*(const char (*)[64])(config)))
#endif

/* Where a processor computes with 16-bit floats, llama.cpp 0.3.36 adds up what attention has read
 * in pieces of 128 of them, and what is left one by one: all of it in models whose heads have 64.
 * Without that knowledge its pieces are of 64. The header is read first, or would define it again. */
#ifdef __AVX512FP16__
#include <immintrin.h>
#undef __AVX512FP16__
#endif

/* By this number a library can be told from one that was compiled without this file, or with an
 * older one (engine/llama_build.py). Whoever changes what is computed raises it: hibernated
 * conversations are known by it, too. */
extern "C" {
__attribute__((weak, visibility("default"))) int localassist_before_llama = 2;
}
