/// Keccak-256 as Ethereum uses it: the permutation of FIPS 202 with the padding of the submission (0x01), so not SHA3-256.
package enum Keccak256 {
    private static let rate = 136

    package static func digest(_ message: some Collection<UInt8>) -> [UInt8] {
        var padded = Array(message)
        padded.append(1)
        while padded.count % rate != 0 { padded.append(0) }
        padded[padded.count - 1] |= 0x80
        var state = [UInt64](repeating: 0, count: 25)
        for block in stride(from: 0, to: padded.count, by: rate) {
            for lane in 0..<rate / 8 {
                var word: UInt64 = 0
                for byte in 0..<8 { word |= UInt64(padded[block + lane * 8 + byte]) << UInt64(8 * byte) }
                state[lane] ^= word
            }
            permute(&state)
        }
        return (0..<32).map { UInt8(truncatingIfNeeded: state[$0 / 8] >> UInt64(8 * ($0 % 8))) }
    }

    /// Keccak-f[1600] (FIPS 202 §3.2, §3.3).
    private static func permute(_ state: inout [UInt64]) {
        var column: (UInt64, UInt64, UInt64, UInt64, UInt64)
        for constant in roundConstants {
            // θ
            func parity(_ x: Int) -> UInt64 { state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20] }
            column = (parity(0), parity(1), parity(2), parity(3), parity(4))
            let mixed = [
                column.4 ^ rotate(column.1, 1), column.0 ^ rotate(column.2, 1), column.1 ^ rotate(column.3, 1),
                column.2 ^ rotate(column.4, 1), column.3 ^ rotate(column.0, 1),
            ]
            for index in 0..<25 { state[index] ^= mixed[index % 5] }
            // ρ and π
            var moved = state[1]
            for step in 0..<24 {
                let target = lanes[step]
                let kept = state[target]
                state[target] = rotate(moved, offsets[step])
                moved = kept
            }
            // χ
            for row in stride(from: 0, to: 25, by: 5) {
                let old = (state[row], state[row + 1], state[row + 2], state[row + 3], state[row + 4])
                state[row] = old.0 ^ (~old.1 & old.2)
                state[row + 1] = old.1 ^ (~old.2 & old.3)
                state[row + 2] = old.2 ^ (~old.3 & old.4)
                state[row + 3] = old.3 ^ (~old.4 & old.0)
                state[row + 4] = old.4 ^ (~old.0 & old.1)
            }
            // ι
            state[0] ^= constant
        }
    }

    private static func rotate(_ word: UInt64, _ count: UInt64) -> UInt64 { word << count | word >> (64 - count) }

    private static let offsets: [UInt64] = [1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44]
    private static let lanes = [10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1]
    private static let roundConstants: [UInt64] = [
        0x0000_0000_0000_0001, 0x0000_0000_0000_8082, 0x8000_0000_0000_808A, 0x8000_0000_8000_8000, 0x0000_0000_0000_808B,
        0x0000_0000_8000_0001, 0x8000_0000_8000_8081, 0x8000_0000_0000_8009, 0x0000_0000_0000_008A, 0x0000_0000_0000_0088,
        0x0000_0000_8000_8009, 0x0000_0000_8000_000A, 0x0000_0000_8000_808B, 0x8000_0000_0000_008B, 0x8000_0000_0000_8089,
        0x8000_0000_0000_8003, 0x8000_0000_0000_8002, 0x8000_0000_0000_0080, 0x0000_0000_0000_800A, 0x8000_0000_8000_000A,
        0x8000_0000_8000_8081, 0x8000_0000_0000_8080, 0x0000_0000_8000_0001, 0x8000_0000_8000_8008,
    ]
}
