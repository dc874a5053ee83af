/* The elements of largest magnitude, for `kernels.c`. */
#ifndef WEIGHTAUDIT_LARGEST_H
#define WEIGHTAUDIT_LARGEST_H

#include "levels.h"
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define KEPT 9
#define STEP 64

/* Magnitudes are ordered as their bits without the sign are; the largest comes first, of equal ones the first. */
typedef struct {
    int64_t bits[KEPT];
    long long places[KEPT];
    int count;
} Largest;

static void keep(Largest *kept, int64_t bits, long long place) {
    int k = kept->count < KEPT ? kept->count++ : KEPT - 1;
    for (; k && kept->bits[k - 1] < bits; k--) {
        kept->bits[k] = kept->bits[k - 1];
        kept->places[k] = kept->places[k - 1];
    }
    kept->bits[k] = bits;
    kept->places[k] = place;
}

/* Most steps have nothing that is large enough, which one loop without branches tells. */
#define DEFINE_LARGEST(name, LEVEL, Word, mask)                                 \
    LEVEL static Largest largest_##name(const unsigned char *p, size_t count) { \
        Largest kept = {{0}, {0}, 0};                                           \
        for (size_t first = 0; first < count; first += STEP) {                  \
            const size_t some = count - first < STEP ? count - first : STEP;    \
            Word words[STEP] = {0}, most = 0;                                   \
            memcpy(words, p + first * sizeof(Word), some * sizeof(Word));       \
            for (int j = 0; j < STEP; j++) {                                    \
                words[j] &= mask;                                               \
                most = words[j] > most ? words[j] : most;                       \
            }                                                                   \
            if (kept.count == KEPT && most <= kept.bits[KEPT - 1]) continue;    \
            for (size_t j = 0; j < some; j++)                                   \
                if (kept.count < KEPT || words[j] > kept.bits[KEPT - 1])        \
                    keep(&kept, words[j], (long long)(first + j));              \
        }                                                                       \
        return kept;                                                            \
    }

DEFINE_LARGEST(float32, , int32_t, INT32_MAX)
DEFINE_LARGEST(float64, , int64_t, INT64_MAX)
#if HAVE_LEVELS
DEFINE_LARGEST(float32_avx2, AVX2, int32_t, INT32_MAX)
#else
#define largest_float32_avx2 largest_float32
#endif

#endif
