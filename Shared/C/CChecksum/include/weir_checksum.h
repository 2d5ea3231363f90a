#ifndef WEIR_CHECKSUM_H
#define WEIR_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/// The CRC-32 (IEEE 802.3, reflected) of as many of the first bytes as this machine has instructions for: whole blocks of 16, none where it
/// has none or there are less than 64.
/// @param crc what stands before them, complemented, as it is between the steps of the usual loop; is renewed.
/// @returns how many bytes were taken.
size_t weir_crc32_blocks(uint32_t *crc, const void *bytes, size_t count);

#endif
