/* Read before all of llama.cpp's C++ files; the Makefile says so to the compiler.
 *
 * GCC up to version 12 declares that loading a configuration of AMX tiles reads 8 of its 64 bytes.
 * llama.cpp fills one in on the stack; the compiler then leaves the other bytes as they are, and
 * the next instruction on a tile is an illegal one. This says that all 64 are read. */
#ifdef __AMX_TILE__
#include <immintrin.h>
#undef _tile_loadconfig
#define _tile_loadconfig(config) \
    __asm__ volatile("ldtilecfg %0" : : "m"(*(const char (*)[64])(config)))
#endif
