import Glibc

/// Many rows on their way into one table, as numbers in one array and bytes in another, each text once: thousands of records a second are
/// made, compared and bound so without an allocation for each value.
package struct PackedRows: Sendable {
    package enum Kind: Sendable {
        case int, text, blob
    }

    /// Stands for NULL.
    package static let null = Int64.min

    package let columns: [String]
    package let kinds: [Kind]
    package private(set) var count = 0
    /// Row by row: a number, or where a text's or blob's bytes lie.
    package private(set) var slots: [Int64] = []
    private(set) var bytes: [UInt8] = []

    private struct Text {
        let reference: Int64
        let hash: UInt64
        let isPlain: Bool
    }

    private var texts: [Text] = []
    /// Open addressing: places in `texts`, or -1. A power of two, at most half full.
    private var table = [Int32](repeating: -1, count: 256)
    /// What is hashed comes from outside: nobody shall choose what collides.
    private let seed = UInt64.random(in: .min ... .max)

    package init(columns: [String], kinds: [Kind]) {
        self.columns = columns
        self.kinds = kinds
    }

    package var width: Int { columns.count }

    // MARK: Writing

    /// Adds a row of as many numbers as there are columns.
    package mutating func append(slots row: [Int64]) {
        slots.append(contentsOf: row)
        count += 1
    }

    package mutating func removeLast() {
        slots.removeLast(width)
        count -= 1
    }

    /// - Throws: `DatabaseError` for a value that the column does not take.
    package mutating func append(_ values: [SQLValue]) throws {
        guard values.count == width else { throw DatabaseError.unexpectedValue("a row has \(values.count) values instead of \(width)") }
        var row: [Int64] = []
        row.reserveCapacity(width)
        for (value, kind) in zip(values, kinds) {
            try value.checkStorable()
            switch (value, kind) {
            case (.null, _): row.append(Self.null)
            case (.int(let number), .int): row.append(number)
            case (.text(var text), .text): row.append(text.withUTF8 { self.text(UnsafeRawBufferPointer($0)) })
            case (.blob(let blob), .blob): row.append(blob.withUnsafeBytes { self.blob($0) })
            default: throw DatabaseError.unexpectedValue("a value does not fit its column")
            }
        }
        append(slots: row)
    }

    package mutating func set(_ row: Int, _ column: Int, _ slot: Int64) { slots[row * width + column] = slot }

    /// Where the bytes lie from now on.
    package mutating func blob(_ blob: UnsafeRawBufferPointer) -> Int64 {
        let reference = Int64(bytes.count) << 32 | Int64(blob.count)
        bytes.append(contentsOf: blob)
        return reference
    }

    /// Where the text lies: the same place for the same text.
    package mutating func text(_ text: UnsafeRawBufferPointer) -> Int64 { texts[found(text)].reference }

    /// As `text`; nil where it holds anything but printable ASCII.
    package mutating func plainText(_ text: UnsafeRawBufferPointer) -> Int64? {
        let text = texts[found(text)]
        return text.isPlain ? text.reference : nil
    }

    private mutating func found(_ text: UnsafeRawBufferPointer) -> Int {
        let hash = Self.hash(text, seed)
        var place = Int(truncatingIfNeeded: hash) & (table.count - 1)
        while table[place] >= 0 {
            let index = Int(table[place])
            if texts[index].hash == hash, holds(texts[index].reference, text) { return index }
            place = (place + 1) & (table.count - 1)
        }
        let isPlain = text.allSatisfy { $0 >= 0x20 && $0 < 0x7F }
        texts.append(Text(reference: text.isEmpty ? 0 : blob(text), hash: hash, isPlain: isPlain))
        table[place] = Int32(truncatingIfNeeded: texts.count - 1)
        if texts.count * 2 > table.count { grow() }
        return texts.count - 1
    }

    private mutating func grow() {
        table = [Int32](repeating: -1, count: table.count * 4)
        for (index, text) in texts.enumerated() {
            var place = Int(truncatingIfNeeded: text.hash) & (table.count - 1)
            while table[place] >= 0 { place = (place + 1) & (table.count - 1) }
            table[place] = Int32(truncatingIfNeeded: index)
        }
    }

    private static func hash(_ text: UnsafeRawBufferPointer, _ seed: UInt64) -> UInt64 {
        var hash = seed ^ UInt64(truncatingIfNeeded: text.count)
        var start = 0
        while start + 8 <= text.count {
            hash = mixed(hash ^ text.loadUnaligned(fromByteOffset: start, as: UInt64.self))
            start += 8
        }
        var rest: UInt64 = 0
        for byte in text[start...] { rest = rest << 8 | UInt64(byte) }
        return mixed(hash ^ rest)
    }

    private static func mixed(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
        return product.high ^ product.low
    }

    // MARK: Reading

    package subscript(row: Int, column: Int) -> Int64 { slots[row * width + column] }

    /// Whether there are these bytes.
    package func holds(_ reference: Int64, _ text: UnsafeRawBufferPointer) -> Bool {
        guard reference >= 0, Int(reference & 0xFFFF_FFFF) == text.count else { return false }
        guard let other = text.baseAddress, !text.isEmpty else { return true }
        return bytes.withUnsafeBytes { bytes in bytes.baseAddress.map { memcmp($0 + Int(reference >> 32), other, text.count) == 0 } ?? false
        }
    }

    package func text(at reference: Int64) -> String {
        guard let range = Self.range(reference), range.upperBound <= bytes.count else { return "" }
        return String(decoding: bytes[range], as: UTF8.self)
    }

    static func range(_ reference: Int64) -> Range<Int>? {
        guard reference >= 0 else { return nil }
        let start = Int(reference >> 32)
        return start..<start + Int(reference & 0xFFFF_FFFF)
    }

    /// In the order of their bytes.
    package func precedes(_ a: Int64, _ b: Int64) -> Bool {
        guard let a = Self.range(a), let b = Self.range(b) else { return a < b }
        return bytes[a].lexicographicallyPrecedes(bytes[b])
    }

    package func value(_ row: Int, _ column: Int) -> SQLValue {
        let slot = self[row, column]
        guard slot != Self.null else { return .null }
        switch kinds[column] {
        case .int: return .int(slot)
        case .text: return .text(text(at: slot))
        case .blob: return .blob(Self.range(slot).map { Array(bytes[$0]) } ?? [])
        }
    }

    package func values(_ row: Int) -> [SQLValue] { columns.indices.map { value(row, $0) } }
}
