#ifndef WEIR_SECP256K1_H
#define WEIR_SECP256K1_H

#include <stddef.h>
#include <stdint.h>

// ECDSA over secp256k1 (SEC 1, 4.1.4 and 4.1.6) on OpenSSL's arithmetic. No type of OpenSSL stands here: modules that Swift compiles together
// have two copies of BoringSSL, whose types have the same names.

/// 1 when the point (33 or 65 bytes, SEC 1 2.3.3) is on the curve; then its compressed form is in `compressed`.
int weir_secp256k1_compress(const uint8_t *point, size_t length, uint8_t compressed[33]);

/// 1 when (r, s), 32 bytes each, is a signature over the digest by the compressed point.
int weir_secp256k1_verify(const uint8_t point[33], const uint8_t digest[32], const uint8_t signature[64]);

/// 1 when a point signed the digest so, with `recovery` (0 or 1) the parity of the nonce's point; it is in `point` then, uncompressed.
int weir_secp256k1_recover(const uint8_t digest[32], const uint8_t signature[64], int recovery, uint8_t point[65]);

#endif
