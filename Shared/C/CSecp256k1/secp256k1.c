#include "weir_secp256k1.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <pthread.h>

static EC_GROUP *curve;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_curve(void) { curve = EC_GROUP_new_by_curve_name(NID_secp256k1); }

static const EC_GROUP *the_curve(void) {
    pthread_once(&once, make_curve);
    return curve;
}

// r and s, each from 1 to the order less 1.
static int read_signature(const uint8_t signature[64], const BIGNUM *order, BIGNUM *r, BIGNUM *s) {
    return BN_bin2bn(signature, 32, r) && BN_bin2bn(signature + 32, 32, s) && !BN_is_zero(r) && !BN_is_zero(s) && BN_cmp(r, order) < 0 &&
           BN_cmp(s, order) < 0;
}

int weir_secp256k1_compress(const uint8_t *bytes, size_t length, uint8_t compressed[33]) {
    const EC_GROUP *group = the_curve();
    // The hybrid form (6, 7) is a third spelling of one key.
    if (!group || !((length == 33 && (bytes[0] == 2 || bytes[0] == 3)) || (length == 65 && bytes[0] == 4))) return 0;
    BN_CTX *context = BN_CTX_new();
    EC_POINT *point = EC_POINT_new(group);
    int good = context && point && EC_POINT_oct2point(group, point, bytes, length, context) &&
               EC_POINT_point2oct(group, point, POINT_CONVERSION_COMPRESSED, compressed, 33, context) == 33;
    EC_POINT_free(point);
    BN_CTX_free(context);
    return good;
}

int weir_secp256k1_verify(const uint8_t bytes[33], const uint8_t digest[32], const uint8_t signature[64]) {
    const EC_GROUP *group = the_curve();
    BN_CTX *context = group ? BN_CTX_new() : NULL;
    if (!context) return 0;
    BN_CTX_start(context);
    BIGNUM *r = BN_CTX_get(context), *s = BN_CTX_get(context), *e = BN_CTX_get(context), *u = BN_CTX_get(context);
    BIGNUM *v = BN_CTX_get(context), *x = BN_CTX_get(context);
    const BIGNUM *order = EC_GROUP_get0_order(group);
    EC_POINT *key = EC_POINT_new(group), *sum = EC_POINT_new(group);
    int good = x && key && sum && read_signature(signature, order, r, s) && EC_POINT_oct2point(group, key, bytes, 33, context) &&
               BN_bin2bn(digest, 32, e) && BN_mod_inverse(s, s, order, context) && BN_mod_mul(u, e, s, order, context) &&
               BN_mod_mul(v, r, s, order, context) && EC_POINT_mul(group, sum, u, key, v, context) &&
               !EC_POINT_is_at_infinity(group, sum) && EC_POINT_get_affine_coordinates(group, sum, x, NULL, context) &&
               BN_nnmod(x, x, order, context) && BN_cmp(x, r) == 0;
    EC_POINT_free(sum);
    EC_POINT_free(key);
    BN_CTX_end(context);
    BN_CTX_free(context);
    return good;
}

int weir_secp256k1_recover(const uint8_t digest[32], const uint8_t signature[64], int recovery, uint8_t bytes[65]) {
    const EC_GROUP *group = the_curve();
    BN_CTX *context = group ? BN_CTX_new() : NULL;
    if (!context) return 0;
    BN_CTX_start(context);
    BIGNUM *r = BN_CTX_get(context), *s = BN_CTX_get(context), *e = BN_CTX_get(context), *inverse = BN_CTX_get(context);
    const BIGNUM *order = EC_GROUP_get0_order(group);
    EC_POINT *nonce = EC_POINT_new(group), *key = EC_POINT_new(group);
    // key = (s * nonce - e * generator) / r. That r was reduced by the order (1 in 2^127) is a signature that nobody makes.
    int good = inverse && nonce && key && read_signature(signature, order, r, s) &&
               EC_POINT_set_compressed_coordinates(group, nonce, r, recovery & 1, context) && BN_bin2bn(digest, 32, e) &&
               BN_mod_inverse(inverse, r, order, context) && BN_mod_mul(s, s, inverse, order, context) &&
               BN_mod_mul(e, e, inverse, order, context) && BN_mod_sub(e, BN_value_one(), e, order, context) &&
               BN_mod_sub(e, e, BN_value_one(), order, context) && EC_POINT_mul(group, key, e, nonce, s, context) &&
               !EC_POINT_is_at_infinity(group, key) &&
               EC_POINT_point2oct(group, key, POINT_CONVERSION_UNCOMPRESSED, bytes, 65, context) == 65;
    EC_POINT_free(key);
    EC_POINT_free(nonce);
    BN_CTX_end(context);
    BN_CTX_free(context);
    return good;
}
