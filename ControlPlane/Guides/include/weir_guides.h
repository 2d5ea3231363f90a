#ifndef WEIR_GUIDES_H
#define WEIR_GUIDES_H

#include <stddef.h>

/// A file of docs/, as it was when the program was built.
typedef struct {
    /// Its path below docs/.
    const char *path;
    const unsigned char *bytes;
    size_t count;
} weir_guide;

/// All of them: `*count` is how many.
const weir_guide *weir_guides(size_t *count);

#endif
