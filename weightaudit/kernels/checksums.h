/* CRC-32 and CRC-32C, for `kernels.c`.
 *
 * A CRC is a remainder of polynomials over GF(2): 256 bytes are multiplied by what moves them over the next 256,
 * and added to those (V. Gopal and others, "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
 * Instruction", Intel 2009). What is left at the end goes through tables, as do short pieces.
 */
#ifndef WEIGHTAUDIT_CHECKSUMS_H
#define WEIGHTAUDIT_CHECKSUMS_H

#include "levels.h"
#include <stdint.h>
#include <string.h>

typedef struct {
    const char *name;
    uint32_t polynomial;    /* bit-reversed */
    uint32_t table[8][256]; /* of the bytes 1 to 8 places before the end */
    uint64_t fold_low, fold_high;
} Checksum;

static Checksum CHECKSUMS[] = {{.name = "crc32", .polynomial = 0xedb88320}, {.name = "crc32c", .polynomial = 0x82f63b78}};

static int have_folding = 0;

static uint64_t power_of_x(uint32_t polynomial, int exponent) {
    uint32_t value = 0x80000000;
    while (exponent--) value = value >> 1 ^ (value & 1 ? polynomial : 0);
    return (uint64_t)value << 1;
}

static void prepare_checksums(void) {
    for (size_t k = 0; k < sizeof CHECKSUMS / sizeof *CHECKSUMS; k++) {
        Checksum *kind = &CHECKSUMS[k];
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t value = byte;
            for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? kind->polynomial : 0);
            kind->table[0][byte] = value;
        }
        for (int place = 1; place < 8; place++)
            for (int byte = 0; byte < 256; byte++) {
                const uint32_t value = kind->table[place - 1][byte];
                kind->table[place][byte] = value >> 8 ^ kind->table[0][value & 255];
            }
        kind->fold_low = power_of_x(kind->polynomial, 2048 + 32);
        kind->fold_high = power_of_x(kind->polynomial, 2048 - 32);
    }
#if HAVE_LEVELS
    have_folding = find_level() == WITH_AVX512 && __builtin_cpu_supports("vpclmulqdq");
#endif
}

static uint32_t checksum_by_table(const Checksum *kind, uint32_t value, const unsigned char *p, size_t size) {
    for (; size >= 8; p += 8, size -= 8) {
        const uint32_t low = value ^ (p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24);
        value = kind->table[7][low & 255] ^ kind->table[6][low >> 8 & 255] ^ kind->table[5][low >> 16 & 255] ^
                kind->table[4][low >> 24] ^ kind->table[3][p[4]] ^ kind->table[2][p[5]] ^ kind->table[1][p[6]] ^
                kind->table[0][p[7]];
    }
    while (size--) value = value >> 8 ^ kind->table[0][(value ^ *p++) & 255];
    return value;
}

#if HAVE_LEVELS
/* Four pieces of 64 bytes that stand for all that was read, the oldest first. */
typedef struct {
    __m512i piece[4], first, by;
} Folding;

FOLDING INLINE Folding begin_folding(const Checksum *kind, uint32_t value) {
    const __m512i none = _mm512_setzero_si512();
    const __m128i by = _mm_set_epi64x((int64_t)kind->fold_high, (int64_t)kind->fold_low);
    const Folding begun = {{none, none, none, none},
                           _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)value)),
                           _mm512_broadcast_i32x4(by)};
    return begun;
}

FOLDING INLINE void fold(Folding *all, const unsigned char *p) {
    const __m512i low = _mm512_clmulepi64_epi128(all->piece[0], all->by, 0x00);
    const __m512i high = _mm512_clmulepi64_epi128(all->piece[0], all->by, 0x11);
    const __m512i now = _mm512_xor_si512(_mm512_loadu_si512(p), all->first);
    for (int j = 0; j < 3; j++) all->piece[j] = all->piece[j + 1];
    all->piece[3] = _mm512_ternarylogic_epi64(low, high, now, 0x96);
    all->first = _mm512_setzero_si512();
}

/* Return the checksum of what was folded, at least one piece, and of what is left. */
FOLDING INLINE uint32_t end_folding(const Checksum *kind, const Folding *all, const unsigned char *p, size_t size) {
    unsigned char rest[256];
    memcpy(rest, all->piece, sizeof rest);
    return checksum_by_table(kind, checksum_by_table(kind, 0, rest, sizeof rest), p, size);
}

FOLDING static uint32_t checksum_by_folding(const Checksum *kind, uint32_t value, const unsigned char *p, size_t size) {
    Folding all = begin_folding(kind, value);
    for (; size >= 64; p += 64, size -= 64) fold(&all, p);
    return end_folding(kind, &all, p, size);
}
#endif

static uint32_t checksum(const Checksum *kind, uint32_t value, const unsigned char *p, size_t size) {
    value = ~value;
#if HAVE_LEVELS
    if (have_folding && size >= 512) return ~checksum_by_folding(kind, value, p, size);
#endif
    return ~checksum_by_table(kind, value, p, size);
}

#endif
