/* How many zeros there are among elements, if no eight of them can follow each other, for `kernels.c`. */
#ifndef WEIGHTAUDIT_ZEROS_H
#define WEIGHTAUDIT_ZEROS_H

#include "levels.h"
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define STRETCH 4096 /* words that are counted at once: no count of 16 bits overflows */

/* Elements of 16, 32 or 64 bits lie side by side in a word. One is a zero, of either sign, if adding the largest
 * number without a sign does not reach its highest bit. Of eight zeros that follow each other, and of those that a
 * border cuts, if there are more than three on one side of it, a whole word is zero. */
#define DEFINE_COUNT_ZEROS(name, LEVEL)                                         \
    LEVEL static long long name(const unsigned char *p, size_t words, int bits) { \
        const uint64_t top = ((uint64_t)-1 / ((uint64_t)-1 >> (64 - bits))) << (bits - 1); \
        long long all = 0;                                                      \
        for (size_t first = 0; first < words; first += STRETCH) {               \
            const size_t end = words - first < STRETCH ? words : first + STRETCH; \
            uint64_t counts = 0, is_whole = 0;                                  \
            for (size_t k = first; k < end; k++) {                              \
                uint64_t word;                                                  \
                memcpy(&word, p + 8 * k, 8);                                    \
                word = ~((word & ~top) + ~top) & top;                           \
                counts += word >> (bits - 1);                                   \
                is_whole |= word == top;                                        \
            }                                                                   \
            if (is_whole) return -1;                                            \
            for (int shift = 0; shift < 64; shift += bits)                      \
                all += (long long)(counts >> shift & (uint64_t)-1 >> (64 - bits)); \
        }                                                                       \
        return all;                                                             \
    }

typedef long long CountZeros(const unsigned char *p, size_t words, int bits);

DEFINE_COUNT_ZEROS(count_zeros_plain, )
#if HAVE_LEVELS
DEFINE_COUNT_ZEROS(count_zeros_avx2, AVX2)

#define COUNT_IN_EIGHT_WORDS(p, bits)                                           \
    do {                                                                        \
        const __m512i eight = _mm512_loadu_si512(p), rest = _mm512_set1_epi##bits(INT##bits##_MAX); \
        const uint64_t zeros = _mm512_testn_epi##bits##_mask(eight, rest);      \
        if (zeros && _mm512_testn_epi64_mask(eight, rest)) return -1;           \
        all += __builtin_popcountll(zeros);                                     \
    } while (0)

/* The same; compilers make code of the loop above that is three times slower than without these instructions. */
AVX512 static long long count_zeros_avx512(const unsigned char *p, size_t words, int bits) {
    long long all = 0, others;
    for (; words >= 8; p += 64, words -= 8)
        if (bits == 16) COUNT_IN_EIGHT_WORDS(p, 16);
        else if (bits == 32) COUNT_IN_EIGHT_WORDS(p, 32);
        else COUNT_IN_EIGHT_WORDS(p, 64);
    others = count_zeros_plain(p, words, bits);
    return others < 0 ? -1 : all + others;
}

static CountZeros *const COUNT_ZEROS[] = {count_zeros_plain, count_zeros_avx2, count_zeros_avx512};
#else
static CountZeros *const COUNT_ZEROS[] = {count_zeros_plain};
#endif

static int is_zero(const unsigned char *p, size_t size) {
    uint64_t word = 0;
    memcpy(&word, p, size);
    return !(word << (65 - 8 * size));
}

/* Return how many elements are zero; -1 if the first or the last one is, or if eight in a row may be. */
static long long count_lone_zeros(const unsigned char *p, size_t count, size_t size, int level) {
    const size_t words = count * size / 8;
    long long all;
    if (!count) return 0;
    if (is_zero(p, size) || is_zero(p + (count - 1) * size, size)) return -1;
    all = COUNT_ZEROS[level](p, words, (int)(8 * size));
    if (all < 0) return -1;
    for (size_t k = words * 8 / size; k < count; k++) all += is_zero(p + k * size, size);
    return all;
}

#endif
