/* Stands in for llama.cpp's function of that name; see even_split.py. */
#include <stdbool.h>

int localassist_even_split = 0;

/* Reads of a file, on the OS thread that loads a model: it must not be told. */
static _Thread_local int loads = 0;

void localassist_loads(int whether) { loads = whether; }

bool ggml_is_numa(void) { return localassist_even_split && !loads; }
