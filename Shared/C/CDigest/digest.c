// The functions of EVP, which OpenSSL 3 would have instead of these, look their algorithm up and allocate.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "weir_digest.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

void weir_sha256(const void *bytes, size_t count, uint8_t digest[32]) {
    SHA256_CTX context;
    SHA256_Init(&context);
    SHA256_Update(&context, bytes, count);
    SHA256_Final(digest, &context);
    OPENSSL_cleanse(&context, sizeof context);
}
