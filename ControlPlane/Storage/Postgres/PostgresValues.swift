/// Postgres's binary formats: what a type's `…send` and `…recv` functions exchange, big-endian throughout.
enum PostgresValues {
    /// Type numbers of `pg_type.dat`.
    enum TypeID {
        static let bool: UInt32 = 16
        static let bytea: UInt32 = 17
        static let name: UInt32 = 19
        static let int8: UInt32 = 20
        static let int2: UInt32 = 21
        static let int4: UInt32 = 23
        static let text: UInt32 = 25
        static let oid: UInt32 = 26
        static let json: UInt32 = 114
        static let float4: UInt32 = 700
        static let float8: UInt32 = 701
        static let unknown: UInt32 = 705
        static let bpchar: UInt32 = 1042
        static let varchar: UInt32 = 1043
        static let numeric: UInt32 = 1700
        static let void: UInt32 = 2278
    }

    /// The type a parameter is sent as; 0 lets the server infer that of a NULL.
    static func typeID(_ value: SQLValue) -> UInt32 {
        switch value {
        case .null: 0
        case .int: TypeID.int8
        case .double: TypeID.float8
        case .text: TypeID.text
        case .blob: TypeID.bytea
        }
    }

    /// Appends a value's binary form; nothing for NULL.
    static func append(_ value: SQLValue, to buffer: inout [UInt8]) {
        switch value {
        case .null: break
        case .int(let value): appendBigEndian(UInt64(bitPattern: value), to: &buffer)
        case .double(let value): appendBigEndian(value.bitPattern, to: &buffer)
        case .text(let value): buffer.append(contentsOf: value.utf8)
        case .blob(let value): buffer.append(contentsOf: value)
        }
    }

    static func appendBigEndian(_ value: some FixedWidthInteger, to buffer: inout [UInt8]) {
        withUnsafeBytes(of: value.bigEndian) { buffer.append(contentsOf: $0) }
    }

    /// Rows in COPY's binary format: the number of fields, and each field's length and bytes; -1 for NULL.
    static func appendCopy(_ rows: PackedRows, at places: some Collection<Int>, to data: inout [UInt8]) {
        data.reserveCapacity(data.count + places.count * rows.width * 20)
        rows.bytes.withUnsafeBytes { bytes in
            for place in places {
                appendBigEndian(Int16(truncatingIfNeeded: rows.width), to: &data)
                for column in 0..<rows.width {
                    let slot = rows[place, column]
                    if slot == PackedRows.null {
                        appendBigEndian(Int32(-1), to: &data)
                    } else if rows.kinds[column] == .int {
                        appendBigEndian(Int32(8), to: &data)
                        appendBigEndian(slot, to: &data)
                    } else if let range = PackedRows.range(slot), range.upperBound <= bytes.count {
                        appendBigEndian(Int32(truncatingIfNeeded: range.count), to: &data)
                        data.append(contentsOf: bytes[range])
                    }
                }
            }
        }
    }

    /// - Throws: `DatabaseError.unexpectedValue` for a type that our SQL does not use.
    static func decode(_ bytes: UnsafeRawBufferPointer, type: UInt32, column: String) throws -> SQLValue {
        switch type {
        case TypeID.int8: return .int(try integer(bytes, Int64.self, column))
        case TypeID.int4: return .int(Int64(try integer(bytes, Int32.self, column)))
        case TypeID.int2: return .int(Int64(try integer(bytes, Int16.self, column)))
        case TypeID.oid: return .int(Int64(try integer(bytes, UInt32.self, column)))
        case TypeID.bool: return .bool(bytes.first == 1)
        case TypeID.text, TypeID.varchar, TypeID.bpchar, TypeID.name, TypeID.json, TypeID.unknown:
            return .text(String(decoding: bytes, as: UTF8.self))
        case TypeID.bytea: return .blob(Array(bytes))
        case TypeID.float8: return .double(Double(bitPattern: try integer(bytes, UInt64.self, column)))
        case TypeID.float4: return .double(Double(Float(bitPattern: try integer(bytes, UInt32.self, column))))
        case TypeID.numeric: return try numeric(bytes, column)
        case TypeID.void: return .null
        default: throw DatabaseError.unexpectedValue("column \(column) has a type (\(type)) that is not read; cast it")
        }
    }

    private static func integer<T: FixedWidthInteger>(_ bytes: UnsafeRawBufferPointer, _: T.Type, _ column: String) throws -> T {
        guard bytes.count == MemoryLayout<T>.size else {
            throw DatabaseError.unexpectedValue("column \(column) has \(bytes.count) bytes instead of \(MemoryLayout<T>.size)")
        }
        return T(bigEndian: bytes.loadUnaligned(as: T.self))
    }

    /// `numeric_send`: counts of base-10000 digits, weight of the first, sign, decimals shown, digits. SUM over BIGINT is numeric.
    /// - Returns: an integer where it is one and fits, text where it does not fit, else a double.
    private static func numeric(_ bytes: UnsafeRawBufferPointer, _ column: String) throws -> SQLValue {
        guard bytes.count >= 8, bytes.count % 2 == 0 else { throw DatabaseError.unexpectedValue("column \(column) is a malformed numeric") }
        let words = stride(from: 0, to: bytes.count, by: 2).map { Int(UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1])) }
        let digits = words.dropFirst(4)
        let weight = Int(Int16(truncatingIfNeeded: words[1]))
        let negative = words[2] == 0x4000
        guard words[2] == 0 || negative else { return .double(.nan) }
        // Digits are missing on the right where they are zero.
        let whole = (0..<max(0, weight + 1)).map { $0 < digits.count ? digits[digits.startIndex + $0] : 0 }
        let fraction = weight < 0 ? Array(digits) : Array(digits.dropFirst(weight + 1))
        if fraction.allSatisfy({ $0 == 0 }) {
            var value: Int64 = 0
            for digit in whole {
                let (product, overflow) = value.multipliedReportingOverflow(by: 10_000)
                let (sum, overflowed) = product.addingReportingOverflow(Int64(negative ? -digit : digit))
                if overflow || overflowed { return .text(decimal(whole, negative: negative)) }
                value = sum
            }
            return .int(value)
        }
        var value = 0.0
        for digit in digits.reversed() { value = value / 10_000 + Double(digit) }
        for _ in 0..<abs(weight) { value = weight > 0 ? value * 10_000 : value / 10_000 }
        return .double(negative ? -value : value)
    }

    private static func decimal(_ whole: [Int], negative: Bool) -> String {
        var text = whole.map { String(repeating: "0", count: 4 - String($0).count) + String($0) }.joined()
        text = String(text.drop { $0 == "0" })
        return (negative ? "-" : "") + text
    }
}
