/* Stands in for llama.cpp's function of that name; see even_split.py. */
#define _GNU_SOURCE
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of llama.cpp's code for CPUs; empty until it is told where that is. */
static uintptr_t begins = 0;
static uintptr_t ends = 0;

bool ggml_is_numa(void) {
    uintptr_t caller = (uintptr_t) __builtin_return_address(0);
    return begins <= caller && caller < ends;
}

static int find(struct dl_phdr_info *library, size_t size, void *address) {
    (void) size;
    for (int i = 0; i < library->dlpi_phnum; i++) {
        uintptr_t start = library->dlpi_addr + library->dlpi_phdr[i].p_vaddr;
        uintptr_t end = start + library->dlpi_phdr[i].p_memsz;
        if (library->dlpi_phdr[i].p_type == PT_LOAD
                && start <= (uintptr_t) address && (uintptr_t) address < end) {
            begins = start;
            ends = end;
            return 1;
        }
    }
    return 0;
}

/* Say yes from now on to the code that a function is part of, and to no other. */
int localassist_answer(void *function) { return dl_iterate_phdr(find, function); }
