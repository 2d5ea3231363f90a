#include <stdlib.h>
#include <zlib.h>

// The members of a z_stream for Swift. Another module of ours (gRPC's) has zlib.h, too, and where a module is compiled as a whole, as in a
// release build, Swift takes the type for that module's and lets nobody else at its members.

static inline z_streamp weir_zlib_new(void) { return (z_streamp)calloc(1, sizeof(z_stream)); }

static inline void weir_zlib_free(z_streamp stream) { free(stream); }

// zlib does not write to its input; its interface is older than const.
static inline void weir_zlib_set_input(z_streamp stream, const unsigned char *bytes, unsigned count) {
    stream->next_in = (Bytef *)bytes;
    stream->avail_in = count;
}

static inline void weir_zlib_set_output(z_streamp stream, unsigned char *bytes, unsigned count) {
    stream->next_out = bytes;
    stream->avail_out = count;
}

static inline unsigned weir_zlib_unread(z_streamp stream) { return stream->avail_in; }

static inline unsigned weir_zlib_unfilled(z_streamp stream) { return stream->avail_out; }
