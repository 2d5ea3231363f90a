import Primitives

package enum ChunkStep: Sendable, Equatable {
    /// Payload bytes at these offsets of the piece; call again from the upper bound.
    case data(Range<Int>)
    /// The body is over, trailers included; what follows the offset belongs to the next message.
    case end(consumed: Int)
    /// The piece is used up (`consumed` is its end); call again with the next one.
    case needMore(consumed: Int)
    case invalid(HTTPViolation)
}

/// Decodes the chunked transfer coding (RFC 9112 section 7.1) out of pieces split anywhere, without copying: the caller asks for one step
/// at a time and gets ranges of its own bytes.
///
/// Stricter than the grammar where readers differ: no whitespace after a size, at most sixteen digits, CRLF and nothing else, bounded
/// extensions, and no trailer that frames, routes or authenticates.
package struct ChunkedDecoder: Sendable {
    package struct Limits: Sendable {
        /// Bytes of extensions behind one chunk size.
        package var maxExtensionBytes = 256
        /// Bytes of extensions in one body: a megabyte of data in one-byte chunks must not carry megabytes of them.
        package var maxTotalExtensionBytes = 16_384
        package var maxTrailerBytes = 8_192
        package var maxTrailers = 32

        package init() {}
    }

    private enum State: UInt8 {
        case size, sizeLF, extensions, data, dataCR, dataLF
        case trailerStart, trailerName, trailerValue, trailerLF, endLF, ended, failed
    }

    private var state = State.size
    private var digits: UInt8 = 0
    private var remaining: UInt64 = 0
    private var extensionBytes = 0
    private var totalExtensionBytes = 0
    private var trailerBytes = 0
    private var trailers = 0
    private var trailerName: [UInt8] = []
    private let limits: Limits

    package init(limits: Limits = Limits()) {
        self.limits = limits
    }

    package mutating func next(_ bytes: UnsafeRawBufferPointer, from offset: Int) -> ChunkStep {
        let limit = bytes.count
        var at = offset
        guard let base = bytes.baseAddress, at >= 0, at < limit else {
            return state == .ended ? .end(consumed: offset) : .needMore(consumed: offset)
        }
        while at < limit {
            switch state {
            case .size:
                let byte = ByteScan.byte(base, at)
                var value = byte &- 0x30
                if value > 9 {
                    value = (byte | 0x20) &- 0x61
                    if value < 6 { value &+= 10 } else { value = 0xFF }
                }
                if value != 0xFF {
                    guard digits < 16 else { return fail(.chunkSizeOverflow) }
                    digits &+= 1
                    remaining = remaining &<< 4 | UInt64(value)
                } else {
                    guard digits > 0 else { return fail(.invalidChunkSize) }
                    guard remaining <= UInt64(Int64.max) else { return fail(.chunkSizeOverflow) }
                    switch byte {
                    case 0x0D: state = .sizeLF
                    case 0x3B:
                        extensionBytes = 0
                        state = .extensions
                    case 0x0A: return fail(.chunkSizeLineEnding)
                    default: return fail(.invalidChunkSize)
                    }
                }
                at &+= 1
            case .extensions:
                let end = findControl(base, from: at, limit: limit)
                extensionBytes &+= end &- at
                totalExtensionBytes &+= end &- at
                guard extensionBytes <= limits.maxExtensionBytes, totalExtensionBytes <= limits.maxTotalExtensionBytes else {
                    return fail(.chunkExtensionTooLong)
                }
                at = end
                guard at < limit else { break }
                switch ByteScan.byte(base, at) {
                case 0x0D: state = .sizeLF
                case 0x09:
                    extensionBytes &+= 1
                    totalExtensionBytes &+= 1
                case 0x0A: return fail(.chunkSizeLineEnding)
                default: return fail(.invalidChunkExtension)
                }
                at &+= 1
            case .sizeLF:
                guard ByteScan.byte(base, at) == 0x0A else { return fail(.chunkSizeLineEnding) }
                at &+= 1
                digits = 0
                if remaining == 0 {
                    state = .trailerStart
                } else {
                    state = .data
                }
            case .data:
                let count = Int(min(remaining, UInt64(limit &- at)))
                remaining &-= UInt64(count)
                if remaining == 0 { state = .dataCR }
                return .data(at..<(at &+ count))
            case .dataCR:
                guard ByteScan.byte(base, at) == 0x0D else { return fail(.chunkDataEnding) }
                state = .dataLF
                at &+= 1
            case .dataLF:
                guard ByteScan.byte(base, at) == 0x0A else { return fail(.chunkDataEnding) }
                state = .size
                at &+= 1
            case .ended:
                return .end(consumed: at)
            case .failed:
                return .invalid(.decoderAlreadyEnded)
            case .trailerStart, .trailerName, .trailerValue, .trailerLF, .endLF:
                if let violation = readTrailer(base, &at, limit) { return fail(violation) }
                if state == .ended { return .end(consumed: at) }
            }
        }
        return .needMore(consumed: limit)
    }

    private mutating func fail(_ violation: HTTPViolation) -> ChunkStep {
        state = .failed
        return .invalid(violation)
    }

    /// One step within the trailer section. Trailers are checked like header fields and thrown away.
    @inline(never)
    private mutating func readTrailer(_ base: UnsafeRawPointer, _ at: inout Int, _ limit: Int) -> HTTPViolation? {
        let byte = ByteScan.byte(base, at)
        switch state {
        case .trailerStart:
            if byte == 0x0D {
                state = .endLF
                at &+= 1
                return nil
            }
            if byte == 0x0A { return .bareLF }
            if isBlank(byte) { return .obsoleteFolding }
            trailers &+= 1
            guard trailers <= limits.maxTrailers else { return .trailerTooLarge }
            trailerName.removeAll(keepingCapacity: true)
            state = .trailerName
        case .trailerName:
            at &+= 1
            trailerBytes &+= 1
            if byte == 0x3A {
                guard !trailerName.isEmpty else { return .emptyFieldName }
                if namesForbiddenTrailer() { return .forbiddenTrailer }
                state = .trailerValue
            } else if ASCIISet.token.contains(byte) {
                trailerName.append(byte)
            } else {
                return isBlank(byte) ? .spaceBeforeColon : byte == 0x0D || byte == 0x0A ? .missingColon : .invalidFieldName
            }
        case .trailerValue:
            let end = findControl(base, from: at, limit: limit)
            trailerBytes &+= end &- at
            at = end
            if at < limit {
                switch ByteScan.byte(base, at) {
                case 0x0D: state = .trailerLF
                case 0x09: break
                case 0x0A: return .bareLF
                default: return .controlInFieldValue
                }
                at &+= 1
                trailerBytes &+= 1
            }
        case .trailerLF:
            guard byte == 0x0A else { return .bareCR }
            at &+= 1
            state = .trailerStart
        case .endLF:
            guard byte == 0x0A else { return .bareCR }
            at &+= 1
            state = .ended
        default:
            return .decoderAlreadyEnded
        }
        return trailerBytes > limits.maxTrailerBytes ? .trailerTooLarge : nil
    }

    /// RFC 9110 section 6.5.1: nothing that frames, routes, authenticates or describes the content may come after it.
    private func namesForbiddenTrailer() -> Bool {
        trailerName.withUnsafeBytes { name in
            guard let base = name.baseAddress, name.count >= 2 else { return false }
            switch KnownField.recognise(base, from: 0, to: name.count) {
            case .other, .server, .date, .xRequestID, .traceparent, .tracestate: return false
            default: return true
            }
        }
    }
}
