import Primitives

/// Writes a part of a `weir.v1.UsageRecord` in protobuf's wire format (protobuf.dev/programming-guides/encoding) straight into a buffer
/// that is used again and again: no message object, no allocation. Fields that have proto3's default are left out, except through the
/// `always` forms, which a completion needs to overrule what a progress record said.
package struct UsageEncoder: ~Copyable {
    private var memory: UnsafeMutableRawBufferPointer
    private var count = 0

    package init(capacity: Int = 1024) { memory = .allocate(byteCount: max(64, capacity), alignment: 16) }

    deinit { memory.deallocate() }

    package mutating func reset() { count = 0 }

    /// What was written; valid until the next change.
    package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[0..<count]) }

    /// A copy of what was written.
    package var buffer: [UInt8] { [UInt8](bytes) }

    package mutating func field(_ number: UsageField, _ value: UInt64) {
        if value != 0 { always(number, value) }
    }

    package mutating func always(_ number: UsageField, _ value: UInt64) {
        guard let start = room(2 * Varint.longest) else { return }
        let tag = Varint.put(UInt64(number.rawValue) << 3, at: start)
        count += tag + Varint.put(value, at: start + tag)
    }

    /// Negative values take ten bytes, as protobuf's int64 does.
    package mutating func field(_ number: UsageField, _ value: Int64) {
        if value != 0 { always(number, UInt64(bitPattern: value)) }
    }

    package mutating func field(_ number: UsageField, _ value: Bool) {
        if value { always(number, 1) }
    }

    package mutating func field(_ number: UsageField, _ bytes: [UInt8]) {
        bytes.withUnsafeBytes { field(number, $0) }
    }

    package mutating func field(_ number: UsageField, _ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, !bytes.isEmpty, let start = begin(number, bytes.count) else { return }
        start.copyMemory(from: source, byteCount: bytes.count)
    }

    package mutating func field(_ number: UsageField, _ text: StaticString) {
        field(number, UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Fields that were encoded before: see `fields`.
    package mutating func append(_ fields: [UInt8]) {
        guard let start = room(fields.count) else { return }
        fields.withUnsafeBytes { bytes in
            if let source = bytes.baseAddress { start.copyMemory(from: source, byteCount: bytes.count) }
        }
        count += fields.count
    }

    /// What `body` writes, to be appended to many records.
    package static func fields(_ body: (inout UsageEncoder) -> Void) -> [UInt8] {
        var encoder = UsageEncoder(capacity: 64)
        body(&encoder)
        return encoder.buffer
    }

    /// The 16 bytes of a request id or a trace id, big-endian.
    package mutating func field(_ number: UsageField, high: UInt64, low: UInt64) {
        guard let start = begin(number, 16) else { return }
        start.storeBytes(of: high.bigEndian, as: UInt64.self)
        start.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
    }

    /// One element of `attempt_list`, whose fields have the numbers of the record's: what `body` writes goes into it.
    /// - Parameter limit: of everything written, in bytes. An attempt that would lead beyond it is left out.
    /// - Returns: whether it was written.
    @discardableResult
    package mutating func attempt(limit: Int, _ body: (inout UsageEncoder) -> Void) -> Bool {
        let before = count
        // Two bytes for a length that is not known yet: a varint may have more bytes than it needs.
        guard begin(.attemptList, 1 << 7) != nil else { return false }
        count -= 1 << 7
        let start = count
        body(&self)
        let length = count - start
        guard length < 1 << 14, count <= limit else {
            count = before
            return false
        }
        memory[start - 2] = UInt8(truncatingIfNeeded: length) | 0x80
        memory[start - 1] = UInt8(truncatingIfNeeded: length >> 7)
        return true
    }

    /// A `weir.v1.SliceAmount`.
    package mutating func amount(_ number: UsageField, slice: UInt64, _ amount: Int64, unknown: Int64 = 0) {
        let length =
            9 + (amount == 0 ? 0 : 1 + Varint.size(UInt64(bitPattern: amount)))
            + (unknown == 0 ? 0 : 1 + Varint.size(UInt64(bitPattern: unknown)))
        guard let start = begin(number, length) else { return }
        start.storeBytes(of: 1 << 3 | 1, as: UInt8.self)
        start.storeBytes(of: slice.littleEndian, toByteOffset: 1, as: UInt64.self)
        var offset = 9
        for (field, value) in [(2, amount), (3, unknown)] where value != 0 {
            start.storeBytes(of: UInt8(truncatingIfNeeded: field << 3), toByteOffset: offset, as: UInt8.self)
            offset += 1 + Varint.put(UInt64(bitPattern: value), at: start + offset + 1)
        }
    }

    /// A `weir.v1.BudgetAmount`.
    /// - Parameter budget: its identifier, of less than 128 bytes.
    package mutating func amount(_ number: UsageField, budget: [UInt8], _ amount: Int64) {
        let value = UInt64(bitPattern: amount)
        guard budget.count < 128, let start = begin(number, 3 + budget.count + Varint.size(value)) else { return }
        start.storeBytes(of: 1 << 3 | 2, as: UInt8.self)
        start.storeBytes(of: UInt8(truncatingIfNeeded: budget.count), toByteOffset: 1, as: UInt8.self)
        budget.withUnsafeBytes { bytes in
            if let source = bytes.baseAddress { (start + 2).copyMemory(from: source, byteCount: bytes.count) }
        }
        start.storeBytes(of: 2 << 3, toByteOffset: 2 + budget.count, as: UInt8.self)
        _ = Varint.put(value, at: start + 3 + budget.count)
    }

    /// The tag and the length of a field of `length` bytes.
    /// - Returns: where they belong; they count as written.
    private mutating func begin(_ number: UsageField, _ length: Int) -> UnsafeMutableRawPointer? {
        guard let start = room(2 * Varint.longest + length) else { return nil }
        let tag = Varint.put(UInt64(number.rawValue) << 3 | 2, at: start)
        let head = tag + Varint.put(UInt64(length), at: start + tag)
        count += head + length
        return start + head
    }

    /// Where the next bytes belong, with room for so many.
    private mutating func room(_ size: Int) -> UnsafeMutableRawPointer? {
        if memory.count - count < size {
            let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: max(memory.count * 2, count + size), alignment: 16)
            larger.copyMemory(from: bytes)
            memory.deallocate()
            memory = larger
        }
        return memory.baseAddress.map { $0 + count }
    }
}

/// The field numbers of `weir.v1.UsageRecord` and of `UsageAttempt`, which has the same for the same names; a test compares them with the generated code.
package enum UsageField: UInt8, Sendable, CaseIterable {
    case requestID = 1
    case tenantID = 2
    case projectID = 3
    case keyID = 4
    case model = 5
    case routeID = 6
    case capability = 7
    case channel = 8
    case streaming = 9
    case admittedAtUs = 10
    case configVersion = 11
    case estimatedInputTokens = 12
    case requestBytes = 13
    case traceID = 14
    case appID = 15
    case userID = 16
    case did = 17
    case dialect = 18
    case tags = 19
    case ownerID = 44
    case status = 20
    case errorOrigin = 21
    case errorCode = 22
    case httpStatus = 23
    case upstreamStatus = 24
    case inputTokens = 25
    case outputTokens = 26
    case cachedInputTokens = 27
    case cacheWriteTokens = 28
    case reasoningTokens = 29
    case flags = 30
    case costNano = 31
    case latencyUs = 32
    case timeToFirstByteUs = 33
    case attempts = 34
    case responseBytes = 35
    case endpointID = 36
    case providerID = 37
    case credentialID = 38
    case upstreamModel = 39
    case priceID = 40
    case sentUpstream = 41
    case attemptList = 42
    /// Of an attempt only.
    case startedUs = 43
    // Two-byte tags: few requests have any of these.
    case likelyCostNano = 55
    case likelyTokens = 56
    case progressRecords = 57
    case holds = 60
    case extensions = 61
    case charges = 62
    case wouldHaveRefused = 63
    case uncovered = 143
    case cacheWriteHourTokens = 100
    case audioInputTokens = 101
    case imageInputTokens = 102
    case audioOutputTokens = 103
    case imageOutputTokens = 104
    case images = 105
    case mediaMilliseconds = 106
    case characters = 107
    case searches = 108
    case serviceTier = 109
    /// Of an attempt only.
    case hedge = 150
}
