/* Sums and extremes of elements, for `kernels.c`.
 *
 * Plain loops over LANES independent accumulators, which compilers turn into SIMD code for every level, and for
 * halves, where that turns out badly, code of our own. The order of the additions, so every bit of the result, is
 * the same for all levels.
 */
#include "checksums.h"
#include "levels.h"
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LANES 32

/* `gap` is a ratio that no two neighbours of the four largest magnitudes exceed. `lone` is what `count_lone_zeros`
 * gives; the functions of this file leave it alone. */
typedef struct {
    double total, squares, minimum, maximum, smallest, gap, lone;
} Summary;

typedef void Summarize(const unsigned char *p, size_t count, Summary *sum);
typedef uint32_t Verify(const Checksum *kind, uint32_t value, const unsigned char *p, size_t count, Summary *sum);

static const Summary EMPTY = {0, 0, INFINITY, -INFINITY, INFINITY, INFINITY, 0};

/* Add lanes to what was summed up before, in order. */
static void add_sums(const double *total, const double *squares, Summary *sum) {
    for (int j = 0; j < LANES; j++) {
        sum->total += total[j];
        sum->squares += squares[j];
    }
}

static void add_extremes(double minimum, double maximum, double smallest, Summary *sum) {
    if (minimum < sum->minimum) sum->minimum = minimum;
    if (maximum > sum->maximum) sum->maximum = maximum;
    if (smallest < sum->smallest) sum->smallest = smallest;
}

/* Take in the gap of other elements, before their extremes. The four largest of all lie no further apart than those of
 * the stretch that has the largest one: what comes in between makes gaps smaller. */
static void add_gap(double peak, double gap, Summary *sum) {
    const double have = fmax(sum->maximum, -sum->minimum);
    if (peak > have || (peak == have && gap < sum->gap)) sum->gap = gap;
}

/* Take in the gap that the largest magnitudes of the lanes show: four elements that there are. */
static void add_peaks(const double *peaks, Summary *sum) {
    double most[4] = {0};
    for (int j = 0; j < LANES; j++) {
        int k = 4;
        for (; k && most[k - 1] < peaks[j]; k--)
            if (k < 4) most[k] = most[k - 1];
        if (k < 4) most[k] = peaks[j];
    }
    add_gap(most[0], most[3] > 0 ? fmax(most[0] / most[1], fmax(most[1] / most[2], most[2] / most[3])) : INFINITY, sum);
}

/* Return what is told: a NaN or an infinite element makes `squares` infinite, and no zero has a sign. */
static Summary settled(Summary sum) {
    if (!isfinite(sum.squares)) sum.squares = INFINITY;
    sum.minimum += 0.0;
    sum.maximum += 0.0;
    return sum;
}

/* ---- Any type, in plain C -------------------------------------------------------------------------------- */

/* Sums are exact products added in float64; a NaN or an infinite element makes `squares` one of them too. */
#define ADD(lane, real, absolute, element)                                      \
    do {                                                                        \
        const real x = element, magnitude = absolute(x);                        \
        total[lane] += (double)x;                                               \
        squares[lane] += (double)x * (double)x;                                 \
        low[lane] = x < low[lane] ? x : low[lane];                              \
        high[lane] = x > high[lane] ? x : high[lane];                           \
        small[lane] = magnitude < small[lane] ? magnitude : small[lane];        \
    } while (0)

#define BEGIN(real)                                                             \
    double total[LANES] = {0}, squares[LANES] = {0};                            \
    real low[LANES], high[LANES], small[LANES];                                 \
    for (int j = 0; j < LANES; j++) low[j] = small[j] = INFINITY, high[j] = -INFINITY

#define END                                                                     \
    double peaks[LANES];                                                        \
    add_sums(total, squares, sum);                                              \
    for (int j = 0; j < LANES; j++) peaks[j] = high[j] > -low[j] ? high[j] : -low[j]; \
    add_peaks(peaks, sum);                                                      \
    for (int j = 0; j < LANES; j++) add_extremes(low[j], high[j], small[j], sum)

#define DEFINE_PLAIN(function, LEVEL, name, real, absolute, size)               \
    LEVEL static void function(const unsigned char *p, size_t count, Summary *sum) { \
        BEGIN(real);                                                            \
        for (; count >= LANES; p += LANES * size, count -= LANES)               \
            for (int j = 0; j < LANES; j++) ADD(j, real, absolute, read_##name(p + j * size)); \
        for (size_t j = 0; j < count; j++) ADD(j, real, absolute, read_##name(p + j * size)); \
        END;                                                                    \
    }

#if HAVE_LEVELS
#define DEFINE_WIDE(name, real, absolute, size)                                 \
    DEFINE_PLAIN(name##_plain, , name, real, absolute, size)                    \
    DEFINE_PLAIN(name##_avx2, AVX2, name, real, absolute, size)                 \
    DEFINE_PLAIN(name##_avx512, AVX512, name, real, absolute, size)
#else
#define DEFINE_WIDE(name, real, absolute, size) DEFINE_PLAIN(name##_plain, , name, real, absolute, size)
#endif

static inline float bits_to_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

static inline float read_float32(const unsigned char *p) {
    float x;
    memcpy(&x, p, 4);
    return x;
}
DEFINE_WIDE(float32, float, fabsf, 4)

/* Squares of the other types are exact in float64, so it makes no difference whether a compiler joins the
 * multiplication and the addition into one instruction. Here it does, and not every CPU has that instruction. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
static inline double read_float64(const unsigned char *p) {
    double x;
    memcpy(&x, p, 8);
    return x;
}
DEFINE_WIDE(float64, double, fabs, 8)
#if defined(__clang__)
#pragma STDC FP_CONTRACT DEFAULT
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif

/* ---- Halves, in plain C ---------------------------------------------------------------------------------- */

static inline uint16_t read_half(const unsigned char *p) {
    uint16_t half;
    memcpy(&half, p, 2);
    return half;
}

/* A float16 with its sign in bit 31 and all else from bit 27 down is a float32 whose exponent is too small by 112;
 * multiplying makes subnormal numbers right too. Infinity and NaN become 65536 and more. */
static inline float float16_of(uint16_t half) {
    return bits_to_float((uint32_t)(int16_t)half << 13 & 0x8fffe000u) * 0x1p112f;
}
static inline float read_float16(const unsigned char *p) { return float16_of(read_half(p)); }
DEFINE_PLAIN(any_float16, , float16, float, fabsf, 2)

static void float16_plain(const unsigned char *p, size_t count, Summary *sum) {
    any_float16(p, count, sum);
    if (sum->maximum >= 65536 || sum->minimum <= -65536) sum->squares = INFINITY;
}

/* Taken out of words that hold two of them, which needs no instruction that moves them: the first of each
 * belongs to the lanes from 0, the second to those from 16. */
static inline float bfloat16_of(uint16_t half) { return bits_to_float((uint32_t)half << 16); }
static void bfloat16_plain(const unsigned char *p, size_t count, Summary *sum) {
    BEGIN(float);
    for (; count >= LANES; p += 2 * LANES, count -= LANES)
        for (int j = 0; j < LANES / 2; j++) {
            uint32_t word;
            memcpy(&word, p + 4 * j, 4);
            ADD(j, float, fabsf, bits_to_float(word << 16));
            ADD(j + LANES / 2, float, fabsf, bits_to_float(word & 0xffff0000u));
        }
    for (size_t j = 0; j < count; j++) {
        /* Sums go to the lane that they have in the functions below, extremes to that of their place in a word. */
        const float x = bfloat16_of(read_half(p + 2 * j)), magnitude = fabsf(x);
        const size_t lane = j / 2 + j % 2 * (LANES / 2);
        total[j] += (double)x;
        squares[j] += (double)x * (double)x;
        low[lane] = x < low[lane] ? x : low[lane];
        high[lane] = x > high[lane] ? x : high[lane];
        small[lane] = magnitude < small[lane] ? magnitude : small[lane];
    }
    END;
}

/* ---- Halves, with SIMD instructions ---------------------------------------------------------------------- */

#if HAVE_LEVELS
/* `N` doubles of the lanes from `k * N` on. */
AVX2 INLINE __m256d float16_lanes_avx2(const unsigned char *p, int k) {
    return _mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)(p + 8 * k))));
}
AVX2 INLINE __m256d bfloat16_lanes_avx2(const unsigned char *p, int k) {
    const __m128i words = _mm_loadu_si128((const __m128i *)(p + 16 * (k % 4)));
    const __m128i first = _mm_slli_epi32(words, 16), second = _mm_and_si128(words, _mm_set1_epi32(-65536));
    return _mm256_cvtps_pd(_mm_castsi128_ps(k < 4 ? first : second));
}
AVX512 INLINE __m512d float16_lanes_avx512(const unsigned char *p, int k) {
    return _mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 16 * k))));
}
AVX512 INLINE __m512d bfloat16_lanes_avx512(const unsigned char *p, int k) {
    const __m256i words = _mm256_loadu_si256((const __m256i *)(p + 32 * (k % 2)));
    const __m256i first = _mm256_slli_epi32(words, 16), second = _mm256_and_si256(words, _mm256_set1_epi32(-65536));
    return _mm512_cvtps_pd(_mm256_castsi256_ps(k < 2 ? first : second));
}

/* Largest and smallest codes as signed and as unsigned integers. The magnitude of a number grows with its code, and
 * the sign is the highest bit: `top` is the largest element if one is not negative, `far` the smallest if one
 * is negative, and `near` and `bottom` are those of the smallest magnitudes of either sign. */
typedef struct {
    int16_t top, bottom;
    uint16_t far, near;
} Codes;

static const Codes NO_CODES = {INT16_MIN, INT16_MAX, 0, UINT16_MAX};

static void join_codes(Codes one, Codes *codes) {
    if (one.top > codes->top) codes->top = one.top;
    if (one.bottom < codes->bottom) codes->bottom = one.bottom;
    if (one.far > codes->far) codes->far = one.far;
    if (one.near < codes->near) codes->near = one.near;
}

static void add_code(uint16_t code, Codes *codes) {
    const Codes one = {(int16_t)code, (int16_t)code, code, code};
    join_codes(one, codes);
}

/* The code of infinity, in either type, is the smallest of those that are not finite. */
static void add_codes(Codes codes, float value(uint16_t), uint16_t infinity, Summary *sum) {
    const float near = value(codes.near), bottom = value((uint16_t)codes.bottom);
    const float maximum = codes.top >= 0 ? value((uint16_t)codes.top) : near;
    const float minimum = codes.far >= 0x8000 ? value(codes.far) : near;
    add_extremes(minimum, maximum, fminf(fabsf(near), fabsf(bottom)), sum);
    if (codes.top >= infinity || codes.far >= (infinity | 0x8000)) sum->squares = INFINITY;
}

/* The codes of all lanes, in the order of `Codes`. */
typedef uint16_t Lanes[4][LANES];

static Codes codes_of(Lanes codes, int lane) {
    const Codes one = {(int16_t)codes[0][lane], (int16_t)codes[1][lane], codes[2][lane], codes[3][lane]};
    return one;
}

static double peak_of(Codes codes, float value(uint16_t)) {
    const uint16_t top = codes.top < 0 ? 0 : (uint16_t)codes.top, far = codes.far < 0x8000 ? 0 : codes.far & 0x7fff;
    return value(top > far ? top : far);
}

static void finish_halves(double *sums, Lanes codes, const unsigned char *p, size_t count, float value(uint16_t),
                          uint16_t infinity, Summary *sum) {
    Codes all = NO_CODES;
    double peaks[LANES];
    for (int j = 0; j < LANES; j++) {
        Codes one = codes_of(codes, j);
        if ((size_t)j < count) {
            const uint16_t code = read_half(p + 2 * j);
            const double x = value(code);
            add_code(code, &one);
            sums[j] += x;
            sums[LANES + j] += x * x;
        }
        peaks[j] = peak_of(one, value);
        join_codes(one, &all);
    }
    add_sums(sums, sums + LANES, sum);
    add_peaks(peaks, sum);
    add_codes(all, value, infinity, sum);
}

#define NOTHING(p) (void)0
#define FOLD(p) fold(&folding, p)

#define HALVES(name, level, Doubles, Integers, BITS, EACH)                      \
    do {                                                                        \
        enum { N = sizeof(Doubles) / 8, WIDTH = sizeof(Integers) / 2 };         \
        Doubles lanes[2][LANES / N] = {{{0}}};                                  \
        Integers best[4][LANES / WIDTH];                                        \
        double sums[2][LANES];                                                  \
        Lanes codes;                                                            \
        for (int k = 0; k < LANES / WIDTH; k++) {                               \
            best[0][k] = _mm##BITS##_set1_epi16(NO_CODES.top);                  \
            best[1][k] = _mm##BITS##_set1_epi16(NO_CODES.bottom);               \
            best[2][k] = _mm##BITS##_set1_epi16((short)NO_CODES.far);           \
            best[3][k] = _mm##BITS##_set1_epi16((short)NO_CODES.near);          \
        }                                                                       \
        for (; count >= LANES; p += 2 * LANES, count -= LANES) {                \
            EACH(p);                                                            \
            for (int k = 0; k < LANES / WIDTH; k++) {                           \
                Integers now;                                                   \
                memcpy(&now, p + sizeof now * k, sizeof now);                   \
                best[0][k] = _mm##BITS##_max_epi16(best[0][k], now);            \
                best[1][k] = _mm##BITS##_min_epi16(best[1][k], now);            \
                best[2][k] = _mm##BITS##_max_epu16(best[2][k], now);            \
                best[3][k] = _mm##BITS##_min_epu16(best[3][k], now);            \
            }                                                                   \
            for (int k = 0; k < LANES / N; k++) {                               \
                const Doubles x = name##_lanes_##level(p, k);                   \
                lanes[0][k] += x;                                               \
                lanes[1][k] += x * x;                                           \
            }                                                                   \
        }                                                                       \
        memcpy(sums, lanes, sizeof sums);                                       \
        memcpy(codes, best, sizeof codes);                                      \
        finish_halves(&sums[0][0], codes, p, count, name##_of, name##_infinity, sum); \
    } while (0)

#define DEFINE_HALVES(name)                                                     \
    AVX2 static void name##_avx2(const unsigned char *p, size_t count, Summary *sum) { \
        if (count) HALVES(name, avx2, __m256d, __m256i, 256, NOTHING);          \
    }                                                                           \
    AVX512 static void name##_avx512(const unsigned char *p, size_t count, Summary *sum) { \
        if (count) HALVES(name, avx512, __m512d, __m512i, 512, NOTHING);        \
    }                                                                           \
    FOLDING static uint32_t name##_verify(const Checksum *kind, uint32_t value, const unsigned char *p, \
                                          size_t count, Summary *sum) {         \
        Folding folding = begin_folding(kind, value);                           \
        HALVES(name, avx512, __m512d, __m512i, 512, FOLD);                      \
        return end_folding(kind, &folding, p, 2 * count);                       \
    }

enum { float16_infinity = 0x7c00, bfloat16_infinity = 0x7f80 };
DEFINE_HALVES(float16)
DEFINE_HALVES(bfloat16)
#endif

/* ---- Sums and checksums in one loop ---------------------------------------------------------------------- */

#if HAVE_LEVELS
/* What `float32_avx512` does; compilers make no SIMD code of its loops if there is anything else in them. */
FOLDING static uint32_t float32_verify(const Checksum *kind, uint32_t value, const unsigned char *p, size_t count,
                                       Summary *sum) {
    Folding folding = begin_folding(kind, value);
    __m512d lanes[2][4] = {{{0}}};
    __m512 least[2], most[2], nearest[2];
    BEGIN(float);
    for (int k = 0; k < 2; k++) least[k] = nearest[k] = _mm512_set1_ps(INFINITY), most[k] = _mm512_set1_ps(-INFINITY);
    for (; count >= LANES; p += 4 * LANES, count -= LANES) {
        for (int k = 0; k < 2; k++) {
            const __m512 x = _mm512_loadu_ps(p + 64 * k);
            fold(&folding, p + 64 * k);
            least[k] = _mm512_min_ps(x, least[k]);
            most[k] = _mm512_max_ps(x, most[k]);
            nearest[k] = _mm512_min_ps(_mm512_abs_ps(x), nearest[k]);
        }
        for (int k = 0; k < 4; k++) {
            const __m512d x = _mm512_cvtps_pd(_mm256_loadu_ps((const float *)(p + 32 * k)));
            lanes[0][k] += x;
            lanes[1][k] += x * x;
        }
    }
    memcpy(total, lanes[0], sizeof total);
    memcpy(squares, lanes[1], sizeof squares);
    memcpy(low, least, sizeof low);
    memcpy(high, most, sizeof high);
    memcpy(small, nearest, sizeof small);
    for (size_t j = 0; j < count; j++) ADD(j, float, fabsf, read_float32(p + 4 * j));
    END;
    return end_folding(kind, &folding, p, 4 * count);
}
#endif

/* ---- The types ------------------------------------------------------------------------------------------- */

#if HAVE_LEVELS
#define VARIANTS(name) {name##_plain, name##_avx2, name##_avx512}
#define VERIFY(name) name##_verify
#else
#define VARIANTS(name) {name##_plain}
#define VERIFY(name) NULL
#endif

typedef struct {
    const char *name;
    size_t itemsize;
    Summarize *summarize[LEVELS];
    Verify *verify; /* if not NULL: the highest level, and a checksum of at least 512 bytes in the same loop */
} Type;

static const Type TYPES[] = {
    {"float32", 4, VARIANTS(float32), VERIFY(float32)},
    {"float64", 8, VARIANTS(float64), NULL},
    {"bfloat16", 2, VARIANTS(bfloat16), VERIFY(bfloat16)},
    {"float16", 2, VARIANTS(float16), VERIFY(float16)},
};
