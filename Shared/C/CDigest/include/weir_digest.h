#ifndef WEIR_DIGEST_H
#define WEIR_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/// SHA-256 (FIPS 180-4) of bytes that lie together, by libcrypto, with its state on the stack: swift-crypto allocates one for each digest, and
/// that costs more than hashing a short text does. Nothing of the bytes is left behind.
void weir_sha256(const void *bytes, size_t count, uint8_t digest[32]);

#endif
