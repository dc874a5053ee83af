/* Which instructions there are, for `kernels.c`: each function that has variants is compiled once for each level. */
#ifndef WEIGHTAUDIT_LEVELS_H
#define WEIGHTAUDIT_LEVELS_H

enum { PLAIN, WITH_AVX2, WITH_AVX512, LEVELS };

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

#if defined(__GNUC__) && defined(__x86_64__)
#define HAVE_LEVELS 1
#include <cpuid.h>
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx2,fma,f16c")))
#define FOLDING __attribute__((target("avx512f,avx512bw,avx512vl,avx2,fma,f16c,vpclmulqdq")))
#else
#define HAVE_LEVELS 0
#endif

/* Return the highest level of this CPU. */
static int find_level(void) {
#if HAVE_LEVELS
    unsigned a, b, c = 0, d;
    /* Not all compilers know "f16c" as a name below. */
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_F16C)) return PLAIN;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return PLAIN;
    if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl")) return WITH_AVX2;
    return WITH_AVX512;
#else
    return PLAIN;
#endif
}

#endif
