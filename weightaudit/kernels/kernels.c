/* The inner loops of an audit: read a block, checksum it, and sum it up, while it is in the CPU's cache.
 *
 * One call does all three and lets other threads run meanwhile. Everything here has an equivalent in numpy
 * or in a library, which is used where this file was not compiled, and which tests compare it with.
 *
 * Plain loops over LANES independent accumulators: compilers turn them into SIMD code for whatever the CPU has,
 * and the order of the additions, so every bit of the result, is the same for all of them.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Elements are little-endian: on this CPU the package works without this module."
#endif

#define LANES 32
#define CHUNK (256 << 10) /* bytes that are read before they are summed up: they fit the L2 cache of a core */

#if defined(__GNUC__) && defined(__x86_64__) && defined(__gnu_linux__)
#define FOR_EACH_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#define HAVE_FOLDING 1
#include <immintrin.h>
#else
#define FOR_EACH_CPU
#define HAVE_FOLDING 0
#endif

/* ---- Summaries ------------------------------------------------------------------------------------------- */

typedef struct {
    double total, squares, minimum, maximum, smallest;
} Summary;

static const Summary EMPTY = {0, 0, INFINITY, -INFINITY, INFINITY};

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
    for (int j = 0; j < LANES; j++) {                                           \
        sum->total += total[j];                                                 \
        sum->squares += squares[j];                                             \
        if (low[j] < sum->minimum) sum->minimum = low[j];                       \
        if (high[j] > sum->maximum) sum->maximum = high[j];                     \
        if (small[j] < sum->smallest) sum->smallest = small[j];                 \
    }

#define DEFINE_WIDE(name, real, absolute)                                       \
    static inline real get_##name(const unsigned char *p) {                     \
        real x;                                                                 \
        memcpy(&x, p, sizeof x);                                                \
        return x;                                                               \
    }                                                                           \
    FOR_EACH_CPU static void summarize_##name(const unsigned char *p, size_t count, Summary *sum) { \
        BEGIN(real);                                                            \
        for (; count >= LANES; p += LANES * sizeof(real), count -= LANES)       \
            for (int j = 0; j < LANES; j++) ADD(j, real, absolute, get_##name(p + j * sizeof(real))); \
        for (size_t j = 0; j < count; j++) ADD(j, real, absolute, get_##name(p + j * sizeof(real))); \
        END                                                                     \
    }

DEFINE_WIDE(float32, float, fabsf)

static inline float bits_to_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/* Narrow elements are taken out of words that hold two of them, which needs no instruction that moves them. */
#define DEFINE_NARROW(name, first, second)                                      \
    FOR_EACH_CPU static void summarize_##name(const unsigned char *p, size_t count, Summary *sum) { \
        BEGIN(float);                                                           \
        for (; count >= LANES; p += 2 * LANES, count -= LANES)                  \
            for (int j = 0; j < LANES / 2; j++) {                               \
                uint32_t word;                                                  \
                memcpy(&word, p + 4 * j, 4);                                    \
                ADD(j, float, fabsf, first(word));                              \
                ADD(j + LANES / 2, float, fabsf, second(word));                 \
            }                                                                   \
        for (size_t j = 0; j < count; j++) {                                    \
            uint16_t half;                                                      \
            memcpy(&half, p + 2 * j, 2);                                        \
            ADD(j, float, fabsf, first((uint32_t)half));                        \
        }                                                                       \
        END                                                                     \
    }

static inline float first_bfloat16(uint32_t word) { return bits_to_float(word << 16); }
static inline float second_bfloat16(uint32_t word) { return bits_to_float(word & 0xffff0000u); }
DEFINE_NARROW(bfloat16, first_bfloat16, second_bfloat16)

/* A float16 with its sign in bit 31 and all else from bit 28 down is a float32 whose exponent is too small by 112;
 * multiplying makes subnormal numbers right too. Infinity and NaN become 65536 and more. */
static inline float second_float16(uint32_t word) {
    return bits_to_float((uint32_t)((int32_t)word >> 3) & 0x8fffe000u) * 0x1p112f;
}
static inline float first_float16(uint32_t word) { return second_float16(word << 16); }
DEFINE_NARROW(any_float16, first_float16, second_float16)

/* Squares of the types above are exact in float64, so it makes no difference whether a compiler joins the
 * multiplication and the addition into one instruction. Here it does, and not every CPU has that instruction. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
DEFINE_WIDE(float64, double, fabs)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

static void summarize_float16(const unsigned char *p, size_t count, Summary *sum) {
    Summary own = EMPTY;
    summarize_any_float16(p, count, &own);
    sum->total += own.total;
    sum->squares += own.maximum >= 65536 || own.minimum <= -65536 ? INFINITY : own.squares;
    if (own.minimum < sum->minimum) sum->minimum = own.minimum;
    if (own.maximum > sum->maximum) sum->maximum = own.maximum;
    if (own.smallest < sum->smallest) sum->smallest = own.smallest;
}

typedef struct {
    const char *name;
    size_t itemsize;
    void (*summarize)(const unsigned char *, size_t, Summary *);
} Type;

static const Type TYPES[] = {
    {"float32", 4, summarize_float32},
    {"float64", 8, summarize_float64},
    {"bfloat16", 2, summarize_bfloat16},
    {"float16", 2, summarize_float16},
};

/* ---- Checksums ------------------------------------------------------------------------------------------- */

/* A CRC is a remainder of polynomials over GF(2): 256 bytes are multiplied by what moves them over the next 256,
 * and added to those (V. Gopal and others, "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
 * Instruction", Intel 2009). What is left at the end goes through tables, as do short pieces. */

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
#if HAVE_FOLDING
    have_folding = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq");
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

#if HAVE_FOLDING
__attribute__((target("avx512f,vpclmulqdq")))
static uint32_t checksum_by_folding(const Checksum *kind, uint32_t value, const unsigned char *p, size_t size) {
    const __m512i by = _mm512_set_epi64(kind->fold_high, kind->fold_low, kind->fold_high, kind->fold_low,
                                        kind->fold_high, kind->fold_low, kind->fold_high, kind->fold_low);
    unsigned char rest[256];
    __m512i state[4];
    for (int j = 0; j < 4; j++) state[j] = _mm512_loadu_si512(p + 64 * j);
    state[0] = _mm512_xor_si512(state[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)value)));
    for (p += 256, size -= 256; size >= 256; p += 256, size -= 256)
        for (int j = 0; j < 4; j++) {
            const __m512i low = _mm512_clmulepi64_epi128(state[j], by, 0x00);
            const __m512i high = _mm512_clmulepi64_epi128(state[j], by, 0x11);
            state[j] = _mm512_ternarylogic_epi64(low, high, _mm512_loadu_si512(p + 64 * j), 0x96);
        }
    for (int j = 0; j < 4; j++) _mm512_storeu_si512(rest + 64 * j, state[j]);
    return checksum_by_table(kind, checksum_by_table(kind, 0, rest, sizeof rest), p, size);
}
#endif

static uint32_t checksum(const Checksum *kind, uint32_t value, const unsigned char *p, size_t size) {
    value = ~value;
#if HAVE_FOLDING
    if (have_folding && size >= 512) return ~checksum_by_folding(kind, value, p, size);
#endif
    return ~checksum_by_table(kind, value, p, size);
}

/* ---- The module ------------------------------------------------------------------------------------------ */

static const Type *find_type(const char *name) {
    for (size_t k = 0; k < sizeof TYPES / sizeof *TYPES; k++)
        if (!strcmp(name, TYPES[k].name)) return &TYPES[k];
    return NULL;
}

/* Return 0, or -1 with an exception, for a name of a type that may be empty (nothing to sum up). */
static int parse_type(const char *name, long long nbytes, const Type **type) {
    *type = *name ? find_type(name) : NULL;
    if (*name && (!*type || nbytes % (*type)->itemsize)) {
        PyErr_Format(PyExc_ValueError, "%lld bytes are no elements of %s", nbytes, name);
        return -1;
    }
    return 0;
}

static int parse_checksum(const char *name, const Checksum **kind) {
    *kind = NULL;
    for (size_t k = 0; k < sizeof CHECKSUMS / sizeof *CHECKSUMS; k++)
        if (!strcmp(name, CHECKSUMS[k].name)) *kind = &CHECKSUMS[k];
    if (*name && !*kind) {
        PyErr_Format(PyExc_ValueError, "%s is no checksum", name);
        return -1;
    }
    return 0;
}

/* A buffer that is used again and again must take whole elements of every type each time. */
static int parse_length(long long nbytes, Py_ssize_t room) {
    if (nbytes < 0 || (nbytes > room && (room < 64 || room % 64))) {
        PyErr_Format(PyExc_ValueError, "%lld bytes do not go through a buffer of %zd", nbytes, room);
        return -1;
    }
    return 0;
}

static PyObject *scan(PyObject *module, PyObject *args) {
    int fd, failure = 0;
    long long offset, nbytes;
    Py_buffer buffer;
    const char *type_name, *checksum_name;
    unsigned long value;
    const Type *type;
    const Checksum *kind;
    Summary sum = EMPTY;
    long long done = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "iLLw*ssk", &fd, &offset, &nbytes, &buffer, &type_name, &checksum_name, &value))
        return NULL;
    if (parse_length(nbytes, buffer.len) || parse_type(type_name, nbytes, &type) || parse_checksum(checksum_name, &kind)) {
        PyBuffer_Release(&buffer);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    while (done < nbytes) {
        const Py_ssize_t start = done % buffer.len;
        const Py_ssize_t room = buffer.len - start < CHUNK ? buffer.len - start : CHUNK;
        const Py_ssize_t wanted = nbytes - done < room ? nbytes - done : room;
        unsigned char *p = (unsigned char *)buffer.buf + start;
        Py_ssize_t have = 0;
        while (have < wanted) {
            const ssize_t count = pread(fd, p + have, wanted - have, offset + done + have);
            if (count > 0) have += count;
            else if (count == 0) break;
            else if (errno != EINTR) { failure = errno; break; }
        }
        if (kind) value = checksum(kind, (uint32_t)value, p, have);
        if (type) type->summarize(p, have / type->itemsize, &sum);
        done += have;
        if (have < wanted) break;
    }
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&buffer);
    if (failure) {
        errno = failure;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return Py_BuildValue("Lkddddd", done, value, sum.total, sum.squares, sum.minimum, sum.maximum, sum.smallest);
}

static PyObject *summarize(PyObject *module, PyObject *args) {
    Py_buffer buffer;
    const char *type_name;
    const Type *type;
    Summary sum = EMPTY;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*s", &buffer, &type_name)) return NULL;
    if (parse_type(type_name, buffer.len, &type)) {
        PyBuffer_Release(&buffer);
        return NULL;
    }
    if (type && buffer.len > CHUNK) {
        Py_BEGIN_ALLOW_THREADS
        type->summarize(buffer.buf, buffer.len / type->itemsize, &sum);
        Py_END_ALLOW_THREADS
    } else if (type) {
        type->summarize(buffer.buf, buffer.len / type->itemsize, &sum);
    }
    PyBuffer_Release(&buffer);
    return Py_BuildValue("ddddd", sum.total, sum.squares, sum.minimum, sum.maximum, sum.smallest);
}

static PyObject *checksum_of(PyObject *module, PyObject *args) {
    Py_buffer buffer;
    const char *name;
    unsigned long value;
    const Checksum *kind;
    (void)module;
    if (!PyArg_ParseTuple(args, "sy*k", &name, &buffer, &value)) return NULL;
    if (parse_checksum(name, &kind)) {
        PyBuffer_Release(&buffer);
        return NULL;
    }
    if (kind) {
        Py_BEGIN_ALLOW_THREADS
        value = checksum(kind, (uint32_t)value, buffer.buf, buffer.len);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&buffer);
    return PyLong_FromUnsignedLong(value);
}

static PyMethodDef METHODS[] = {
    {"scan", scan, METH_VARARGS, "Read bytes, checksum them and sum them up."},
    {"summarize", summarize, METH_VARARGS, "Sum up a buffer."},
    {"checksum", checksum_of, METH_VARARGS, "Go on with the checksum of a buffer."},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module) {
    prepare_checksums();
    /* Tables alone are slower than what zlib and others do in hardware. */
    return PyModule_AddIntConstant(module, "FAST_CHECKSUMS", have_folding) ||
           PyModule_AddIntConstant(module, "INTERFACE", 1);
}

static PyModuleDef_Slot SLOTS[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, "_weightaudit_kernels", "Inner loops of weightaudit.", 0, METHODS, SLOTS, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__weightaudit_kernels(void) { return PyModuleDef_Init(&MODULE); }
