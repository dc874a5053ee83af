/* The inner loops of an audit: read a block, checksum it, and sum it up, while it is in the CPU's cache.
 *
 * One call does all three and lets other threads run meanwhile. Everything here has an equivalent in numpy
 * or in a library, which is used where this file was not compiled, and which tests compare it with.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <errno.h>
#include <unistd.h>

#include "checksums.h"
#include "largest.h"
#include "pages.h"
#include "patterns.h"
#include "summaries.h"
#include "zeros.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Elements are little-endian: on this CPU the package works without this module."
#endif

#define CHUNK (256 << 10) /* bytes that are read before they are summed up: they fit the L2 cache of a core */


static int level = PLAIN;

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

/* Return what is told of elements that were summed up: zeros are counted where there may be any. */
static Summary finished(Summary sum, const Type *type, const unsigned char *p, size_t size) {
    sum = settled(sum);
    if (type && !(sum.smallest > 0 && isfinite(sum.squares)))
        sum.lone = (double)count_lone_zeros(p, size / type->itemsize, type->itemsize, level);
    return sum;
}

/* Checksum and sum up bytes, either if it is wanted. In one loop, what waits for the other is done meanwhile. */
static uint32_t visit(const Checksum *kind, uint32_t value, const Type *type, const unsigned char *p, size_t size,
                      Summary *sum) {
    if (kind && type && type->verify && have_folding && level == WITH_AVX512 && size >= 512)
        return ~type->verify(kind, ~value, p, size / type->itemsize, sum);
    if (kind) value = checksum(kind, value, p, size);
    if (type) type->summarize[level](p, size / type->itemsize, sum);
    return value;
}

/* Join what was told of neighbouring chunks, in their order. */
static void join_sums(Summary one, Summary *sum) {
    sum->total += one.total;
    sum->squares += one.squares;
    sum->lone = sum->lone < 0 || one.lone < 0 ? -1 : sum->lone + one.lone;
    add_gap(fmax(one.maximum, -one.minimum), one.gap, sum);
    add_extremes(one.minimum, one.maximum, one.smallest, sum);
}

static PyObject *scan(PyObject *module, PyObject *args) {
    int fd, failure = 0;
    long long offset, nbytes;
    Py_buffer buffer, outline;
    const char *type_name, *checksum_name;
    unsigned long value;
    const Type *type;
    const Checksum *kind;
    Summary sum = EMPTY;
    Pages pages;
    long long done = 0, repeats;
    Py_ssize_t rows = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "iLLw*sskw*", &fd, &offset, &nbytes, &buffer, &type_name, &checksum_name, &value,
                          &outline))
        return NULL;
    if (parse_length(nbytes, buffer.len) || parse_type(type_name, nbytes, &type) || parse_checksum(checksum_name, &kind)) {
        PyBuffer_Release(&buffer);
        PyBuffer_Release(&outline);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    pages = begin_pages(type ? offset : -1, nbytes);
    while (done < nbytes) {
        const Py_ssize_t start = done % buffer.len;
        const Py_ssize_t room = buffer.len - start < CHUNK ? buffer.len - start : CHUNK;
        const Py_ssize_t wanted = nbytes - done < room ? nbytes - done : room;
        unsigned char *p = (unsigned char *)buffer.buf + start;
        Py_ssize_t have = 0;
        Summary one = EMPTY;
        while (have < wanted) {
            const ssize_t count = pread(fd, p + have, wanted - have, offset + done + have);
            if (count > 0) have += count;
            else if (count == 0) break;
            else if (errno != EINTR) { failure = errno; break; }
        }
        value = visit(kind, (uint32_t)value, type, p, have, &one);
        look_at_pages(&pages, p, offset + done, have);
        one = finished(one, type, p, have);
        join_sums(one, &sum);
        if (outline.len - rows >= (Py_ssize_t)sizeof one) {
            memcpy((char *)outline.buf + rows, &one, sizeof one);
            rows += sizeof one;
        }
        done += have;
        if (have < wanted) break;
    }
    repeats = end_pages(&pages);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&buffer);
    PyBuffer_Release(&outline);
    sum = settled(sum);
    if (failure) {
        errno = failure;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return Py_BuildValue("LkLddddddd", done, value, repeats, sum.total, sum.squares, sum.minimum, sum.maximum,
                         sum.smallest, sum.gap, sum.lone);
}

static PyObject *count_repeats(PyObject *module, PyObject *args) {
    Py_buffer buffer;
    long long place;
    Pages pages;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*L", &buffer, &place)) return NULL;
    pages = begin_pages(place, buffer.len);
    look_at_pages(&pages, buffer.buf, place, buffer.len);
    PyBuffer_Release(&buffer);
    return PyLong_FromLongLong(end_pages(&pages));
}

static Summary summary_of(const Type *type, const unsigned char *p, size_t size) {
    Summary sum = EMPTY;
    type->summarize[level](p, size / type->itemsize, &sum);
    return finished(sum, type, p, size);
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
        sum = summary_of(type, buffer.buf, buffer.len);
        Py_END_ALLOW_THREADS
    } else if (type) {
        sum = summary_of(type, buffer.buf, buffer.len);
    }
    PyBuffer_Release(&buffer);
    return Py_BuildValue("ddddddd", sum.total, sum.squares, sum.minimum, sum.maximum, sum.smallest, sum.gap, sum.lone);
}

static PyObject *find_largest(PyObject *module, PyObject *args) {
    Py_buffer buffer;
    int itemsize;
    Largest kept;
    PyObject *places;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*i", &buffer, &itemsize)) return NULL;
    if ((itemsize != 4 && itemsize != 8) || buffer.len % itemsize) {
        PyErr_Format(PyExc_ValueError, "%zd bytes are no elements of %d", buffer.len, itemsize);
        PyBuffer_Release(&buffer);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    if (itemsize == 8) kept = largest_float64(buffer.buf, buffer.len / 8);
    else if (level == PLAIN) kept = largest_float32(buffer.buf, buffer.len / 4);
    else kept = largest_float32_avx2(buffer.buf, buffer.len / 4);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&buffer);
    places = PyList_New(kept.count);
    for (int k = 0; places && k < kept.count; k++) {
        PyObject *place = PyLong_FromLongLong(kept.places[k]);
        if (!place || PyList_SetItem(places, k, place)) Py_CLEAR(places);
    }
    return places;
}

static PyObject *find_patterns(PyObject *module, PyObject *args) {
    Py_buffer buffer;
    Patterns found;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*", &buffer)) return NULL;
    found = count_patterns(buffer.buf, buffer.len / 4);
    PyBuffer_Release(&buffer);
    return Py_BuildValue("LLLLLL", found.nonzero, found.usual, found.swapped, found.lower, found.bfloat16,
                         found.float16);
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

static PyObject *use_level(PyObject *module, PyObject *number) {
    const long wanted = PyLong_AsLong(number);
    const int highest = find_level();
    (void)module;
    if (wanted == -1 && PyErr_Occurred()) return NULL;
    level = wanted < PLAIN ? PLAIN : wanted > highest ? highest : (int)wanted;
    return PyLong_FromLong(level);
}

static PyMethodDef METHODS[] = {
    {"scan", scan, METH_VARARGS, "Read bytes, checksum them and sum them up."},
    {"summarize", summarize, METH_VARARGS, "Sum up a buffer."},
    {"largest", find_largest, METH_VARARGS, "Find the elements of largest magnitude."},
    {"patterns", find_patterns, METH_VARARGS, "Count what float32 numbers look like in other layouts."},
    {"repeats", count_repeats, METH_VARARGS, "Count pages that may repeat an earlier one."},
    {"checksum", checksum_of, METH_VARARGS, "Go on with the checksum of a buffer."},
    {"use_level", use_level, METH_O, "Choose the instructions that sums are computed with, for tests."},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module) {
    prepare_checksums();
    level = find_level();
    /* Tables alone are slower than what zlib and others do in hardware. */
    return PyModule_AddIntConstant(module, "FAST_CHECKSUMS", have_folding) ||
           PyModule_AddIntConstant(module, "INTERFACE", 5);
}

static PyModuleDef_Slot SLOTS[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, "_weightaudit_kernels", "Inner loops of weightaudit.", 0, METHODS, SLOTS, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__weightaudit_kernels(void) { return PyModuleDef_Init(&MODULE); }
