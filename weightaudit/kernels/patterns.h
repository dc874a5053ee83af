/* What float32 numbers would be if their bytes were read in another way, for `kernels.c`. */
#ifndef WEIGHTAUDIT_PATTERNS_H
#define WEIGHTAUDIT_PATTERNS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    long long nonzero, usual, swapped, lower, bfloat16, float16;
} Patterns;

static uint32_t in_other_order(uint32_t word) {
    return word >> 24 | (word >> 8 & 0xff00) | (word << 8 & 0xff0000) | word << 24;
}

/* Whether a number of these bits has a magnitude from 2**-24 to below 2**14. */
static int is_usual(uint32_t word) {
    const uint32_t exponent = word >> 23 & 255;
    return exponent >= 127 - 24 && exponent < 127 + 14;
}

static Patterns count_patterns(const unsigned char *p, size_t count) {
    Patterns found = {0};
    for (; count; p += 4, count--) {
        uint32_t word, wide, half;
        memcpy(&word, p, 4);
        wide = word >> 7 & 255;
        half = word >> 10 & 31;
        found.nonzero += (word & INT32_MAX) != 0;
        found.usual += is_usual(word);
        found.swapped += is_usual(in_other_order(word));
        found.lower += (word & 0xffff) != 0;
        found.bfloat16 += wide >= 108 && wide <= 131;
        found.float16 += half >= 4 && half <= 17;
    }
    return found;
}

#endif
