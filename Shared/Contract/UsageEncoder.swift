import Primitives

/// Writes a part of a `weir.v1.UsageRecord` in protobuf's wire format (protobuf.dev/programming-guides/encoding) straight into a buffer
/// that is used again and again: no message object, no allocation. Fields that have proto3's default are left out, except through the
/// `always` forms, which a completion needs to overrule what a progress record said.
package struct UsageEncoder: ~Copyable {
    package private(set) var buffer: [UInt8]

    package init(capacity: Int = 1024) {
        buffer = []
        buffer.reserveCapacity(capacity)
    }

    package mutating func reset() { buffer.removeAll(keepingCapacity: true) }

    @inline(__always)
    package mutating func varint(_ value: UInt64) { Varint.append(value, to: &buffer) }

    @inline(__always)
    package mutating func field(_ number: UsageField, _ value: UInt64) {
        if value != 0 { always(number, value) }
    }

    @inline(__always)
    package mutating func always(_ number: UsageField, _ value: UInt64) {
        varint(UInt64(number.rawValue) << 3)
        varint(value)
    }

    /// Negative values take ten bytes, as protobuf's int64 does.
    @inline(__always)
    package mutating func field(_ number: UsageField, _ value: Int64) {
        if value != 0 { always(number, UInt64(bitPattern: value)) }
    }

    @inline(__always)
    package mutating func field(_ number: UsageField, _ value: Bool) {
        if value { always(number, 1) }
    }

    @inline(__always)
    package mutating func field(_ number: UsageField, _ bytes: [UInt8]) {
        bytes.withUnsafeBytes { field(number, $0) }
    }

    @inline(__always)
    package mutating func field(_ number: UsageField, _ bytes: UnsafeRawBufferPointer) {
        if bytes.isEmpty { return }
        varint(UInt64(number.rawValue) << 3 | 2)
        varint(UInt64(bytes.count))
        buffer.append(contentsOf: bytes)
    }

    package mutating func field(_ number: UsageField, _ text: StaticString) {
        field(number, UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// The 16 bytes of a request id or a trace id, big-endian.
    @inline(__always)
    package mutating func field(_ number: UsageField, high: UInt64, low: UInt64) {
        varint(UInt64(number.rawValue) << 3 | 2)
        buffer.append(16)
        withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { buffer.append(contentsOf: $0) }
    }

    /// One element of `attempt_list`, whose fields have the numbers of the record's: what `body` writes goes into it.
    /// - Parameter limit: of the whole buffer, in bytes. An attempt that would lead beyond it is left out.
    /// - Returns: whether it was written.
    @discardableResult
    package mutating func attempt(limit: Int, _ body: (inout UsageEncoder) -> Void) -> Bool {
        let start = buffer.count
        varint(UInt64(UsageField.attemptList.rawValue) << 3 | 2)
        // Two bytes for a length that is not known yet: a varint may have more bytes than it needs.
        let lengthAt = buffer.count
        buffer.append(0x80)
        buffer.append(0)
        body(&self)
        let length = buffer.count - lengthAt - 2
        guard length < 1 << 14, buffer.count <= limit else {
            buffer.removeSubrange(start...)
            return false
        }
        buffer[lengthAt] = UInt8(truncatingIfNeeded: length) | 0x80
        buffer[lengthAt + 1] = UInt8(truncatingIfNeeded: length >> 7)
        return true
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
}
