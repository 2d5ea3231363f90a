#include "weir_checksum.h"

#if defined(__x86_64__)

#include <immintrin.h>

// Folding with carry-less multiplications: Gopal, Ozturk and others, "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
// Instruction", Intel 2009; the constants are those of its appendix for this polynomial, reflected.
__attribute__((target("pclmul,sse4.1"))) static __m128i fold(__m128i sum, __m128i by, __m128i next) {
    __m128i low = _mm_clmulepi64_si128(sum, by, 0x00);
    __m128i high = _mm_clmulepi64_si128(sum, by, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

__attribute__((target("pclmul,sse4.1"))) static uint32_t folded(uint32_t crc, const uint8_t *bytes, size_t count) {
    const __m128i by64 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
    const __m128i by16 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
    const __m128i by8 = _mm_set_epi64x(0, 0x0163cd6124);
    const __m128i polynomial = _mm_set_epi64x(0x01f7011641, 0x01db710641);
    const __m128i low32 = _mm_set_epi32(0, -1, 0, -1);
    const __m128i *at = (const __m128i *)bytes;

    __m128i a = _mm_xor_si128(_mm_loadu_si128(at), _mm_cvtsi32_si128((int)crc));
    __m128i b = _mm_loadu_si128(at + 1), c = _mm_loadu_si128(at + 2), d = _mm_loadu_si128(at + 3);
    at += 4;
    count -= 64;
    while (count >= 64) {
        a = fold(a, by64, _mm_loadu_si128(at));
        b = fold(b, by64, _mm_loadu_si128(at + 1));
        c = fold(c, by64, _mm_loadu_si128(at + 2));
        d = fold(d, by64, _mm_loadu_si128(at + 3));
        at += 4;
        count -= 64;
    }
    a = fold(fold(fold(a, by16, b), by16, c), by16, d);
    while (count >= 16) {
        a = fold(a, by16, _mm_loadu_si128(at));
        at += 1;
        count -= 16;
    }
    // 128 bits to 64, 64 to 32 (Barrett).
    __m128i t = _mm_clmulepi64_si128(a, by16, 0x10);
    a = _mm_xor_si128(_mm_srli_si128(a, 8), t);
    t = _mm_srli_si128(a, 4);
    a = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(a, low32), by8, 0x00), t);
    t = _mm_clmulepi64_si128(_mm_and_si128(a, low32), polynomial, 0x10);
    t = _mm_clmulepi64_si128(_mm_and_si128(t, low32), polynomial, 0x00);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(a, t), 1);
}

size_t weir_crc32_blocks(uint32_t *crc, const void *bytes, size_t count) {
    if (count < 64 || !__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1")) return 0;
    count &= ~(size_t)15;
    *crc = folded(*crc, bytes, count);
    return count;
}

#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)

#include <arm_acle.h>
#include <string.h>

size_t weir_crc32_blocks(uint32_t *crc, const void *bytes, size_t count) {
    if (count < 64) return 0;
    count &= ~(size_t)15;
    uint32_t sum = *crc;
    for (size_t at = 0; at < count; at += 8) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)bytes + at, 8);
        sum = __crc32d(sum, word);
    }
    *crc = sum;
    return count;
}

#else

size_t weir_crc32_blocks(uint32_t *crc, const void *bytes, size_t count) { return 0; }

#endif
