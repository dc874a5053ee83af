/* Which pages of a file repeat an earlier one, as far as a sample from the middle of each tells, for `kernels.c`. */
#ifndef WEIGHTAUDIT_PAGES_H
#define WEIGHTAUDIT_PAGES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096
#define SAMPLE_PLACE 2048
#define SAMPLE 64
#define MOST_PAGES (1 << 16) /* more are not remembered */

/* Fingerprints of pages, in a hash table with open addressing that is at most half full: the place comes from the
 * lower half of 64 bits, and the upper half is kept there. */
typedef struct {
    long long start, end; /* bytes of the file that are looked at; pages are whole if they lie within */
    uint32_t *slots;
    size_t mask;
    long long repeats;
} Pages;

/* Begin to look at bytes of a file; `repeats` is -1 where there are too many to remember. */
static Pages begin_pages(long long start, long long nbytes) {
    const long long count = start < 0 ? 0 : (start + nbytes) / PAGE - (start + PAGE - 1) / PAGE;
    Pages pages = {start, start + nbytes, NULL, 0, start < 0 || count > MOST_PAGES ? -1 : 0};
    size_t room = 4;
    if (pages.repeats || count < 2) return pages;
    while (room < 2 * (size_t)count) room *= 2;
    pages.mask = room - 1;
    pages.slots = calloc(room, sizeof *pages.slots);
    if (!pages.slots) pages.repeats = -1;
    return pages;
}

/* Remember the fingerprint of one page. A sample of one value repeated, such as zero, tells nothing. */
static void add_page(Pages *pages, const unsigned char *sample) {
    static const uint64_t FACTORS[SAMPLE / 8] = {
        0x9e3779b97f4a7c15u, 0xbf58476d1ce4e5b9u, 0x94d049bb133111ebu, 0xd6e8feb86659fd93u,
        0xa0761d6478bd642fu, 0xe7037ed1a0b428dbu, 0x8ebc6af09c88c6e3u, 0x589965cc75374cc3u,
    };
    uint64_t words[SAMPLE / 8], mark = 1, differs = 0;
    uint32_t upper;
    size_t slot;
    memcpy(words, sample, SAMPLE);
    for (int k = 0; k < SAMPLE / 8; k++) {
        mark += words[k] * FACTORS[k];
        differs |= words[k] ^ words[0];
    }
    if (!differs) return;
    mark ^= mark >> 32;
    upper = (uint32_t)(mark >> 32) | 1; /* 0 is an empty slot */
    for (slot = mark & pages->mask; pages->slots[slot]; slot = (slot + 1) & pages->mask)
        if (pages->slots[slot] == upper) {
            pages->repeats++;
            return;
        }
    pages->slots[slot] = upper;
}

/* Go on with the bytes of the file from `place`. */
static void look_at_pages(Pages *pages, const unsigned char *p, long long place, long long nbytes) {
    long long border = place / PAGE * PAGE;
    if (!pages->slots) return;
    if (border + SAMPLE_PLACE < place) border += PAGE;
    for (; border + SAMPLE_PLACE + SAMPLE <= place + nbytes; border += PAGE)
        if (border >= pages->start && border + PAGE <= pages->end)
            add_page(pages, p + (border + SAMPLE_PLACE - place));
}

static long long end_pages(Pages *pages) {
    free(pages->slots);
    return pages->repeats;
}

#endif
