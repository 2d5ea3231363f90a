#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

// Writing heads and chunk framing into memory that the caller owns, without strings.

/// Writes into a fixed stretch of memory. What does not fit is left out and remembered in `overflowed`, never written elsewhere.
package struct HeadWriter {
    @usableFromInline let base: UnsafeMutableRawPointer?
    @usableFromInline let capacity: Int
    package private(set) var count = 0
    package private(set) var overflowed = false

    package init(_ buffer: UnsafeMutableRawBufferPointer, count: Int = 0) {
        base = buffer.baseAddress
        capacity = buffer.count
        self.count = min(max(count, 0), buffer.count)
    }

    package mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        guard let base, bytes.count <= capacity &- count else {
            overflowed = true
            return
        }
        memcpy(base + count, source, bytes.count)
        count &+= bytes.count
    }

    package mutating func append(_ byte: UInt8) {
        guard let base, count < capacity else {
            overflowed = true
            return
        }
        base.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        count &+= 1
    }

    package mutating func append(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    package mutating func append(decimal value: Int64) {
        withDigits(value, radix: 10) { append($0) }
    }

    package mutating func append(hex value: UInt64) {
        withDigits(value, radix: 16) { append($0) }
    }

    /// "HTTP/1.1 200 OK" and the line's end.
    package mutating func appendStatusLine(_ status: Int) {
        if let line = StatusLine.text(status) { return append(line) }
        append("HTTP/1.1 ")
        append(decimal: Int64(min(max(status, 100), 999)))
        append(" \r\n")
    }

    package mutating func appendField(_ name: StaticString, _ value: StaticString) {
        append(name)
        append(": ")
        append(value)
        append("\r\n")
    }

    package mutating func appendField(_ name: StaticString, decimal value: Int64) {
        append(name)
        append(": ")
        append(decimal: value)
        append("\r\n")
    }

    /// The caller vouches for the value: no control characters.
    package mutating func appendField(_ name: StaticString, _ value: UnsafeRawBufferPointer) {
        append(name)
        append(": ")
        append(value)
        append("\r\n")
    }

    /// The line before a chunk of that size. Zero ends the body and is written with `appendLastChunk`.
    package mutating func appendChunkHeader(_ size: UInt64) {
        append(hex: size)
        append("\r\n")
    }

    package mutating func appendLastChunk() {
        append("0\r\n\r\n")
    }
}

extension [UInt8] {
    @inlinable
    package mutating func append(_ text: StaticString) {
        append(contentsOf: UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    package mutating func append(decimal value: Int64) {
        withDigits(value, radix: 10) { append(contentsOf: $0) }
    }

    package mutating func append(hex value: UInt64) {
        withDigits(value, radix: 16) { append(contentsOf: $0) }
    }

    /// "HTTP/1.1 200 OK" and the line's end.
    package mutating func appendStatusLine(_ status: Int) {
        if let line = StatusLine.text(status) { return append(line) }
        append("HTTP/1.1 ")
        append(decimal: Int64(Swift.min(Swift.max(status, 100), 999)))
        append(" \r\n")
    }

    package mutating func appendField(_ name: StaticString, _ value: StaticString) {
        append(name)
        append(": ")
        append(value)
        append("\r\n")
    }

    package mutating func appendField(_ name: StaticString, decimal value: Int64) {
        append(name)
        append(": ")
        append(decimal: value)
        append("\r\n")
    }

    /// The caller vouches for the value: no control characters.
    package mutating func appendField(_ name: StaticString, _ value: UnsafeRawBufferPointer) {
        append(name)
        append(": ")
        append(contentsOf: value)
        append("\r\n")
    }

    /// The line before a chunk of that size.
    package mutating func appendChunkHeader(_ size: UInt64) {
        append(hex: size)
        append("\r\n")
    }

    package mutating func appendLastChunk() {
        append("0\r\n\r\n")
    }
}

/// The digits of a number, most significant first, in memory of the stack.
@inline(__always)
private func withDigits<Value: FixedWidthInteger>(_ value: Value, radix: Value, _ body: (UnsafeRawBufferPointer) -> Void) {
    var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
    withUnsafeMutableBytes(of: &digits) { buffer in
        var at = 24
        var rest = value.magnitude
        let divisor = radix.magnitude
        repeat {
            let (quotient, remainder) = rest.quotientAndRemainder(dividingBy: divisor)
            let digit = UInt8(truncatingIfNeeded: remainder)
            at &-= 1
            buffer[at] = digit < 10 ? 0x30 &+ digit : 0x57 &+ digit
            rest = quotient
        } while rest != 0
        if value < 0 {
            at &-= 1
            buffer[at] = 0x2D
        }
        body(UnsafeRawBufferPointer(rebasing: buffer[at..<24]))
    }
}

private enum StatusLine {
    static func text(_ status: Int) -> StaticString? {
        switch status {
        case 100: "HTTP/1.1 100 Continue\r\n"
        case 200: "HTTP/1.1 200 OK\r\n"
        case 201: "HTTP/1.1 201 Created\r\n"
        case 202: "HTTP/1.1 202 Accepted\r\n"
        case 204: "HTTP/1.1 204 No Content\r\n"
        case 304: "HTTP/1.1 304 Not Modified\r\n"
        case 400: "HTTP/1.1 400 Bad Request\r\n"
        case 401: "HTTP/1.1 401 Unauthorized\r\n"
        case 402: "HTTP/1.1 402 Payment Required\r\n"
        case 403: "HTTP/1.1 403 Forbidden\r\n"
        case 404: "HTTP/1.1 404 Not Found\r\n"
        case 405: "HTTP/1.1 405 Method Not Allowed\r\n"
        case 408: "HTTP/1.1 408 Request Timeout\r\n"
        case 409: "HTTP/1.1 409 Conflict\r\n"
        case 411: "HTTP/1.1 411 Length Required\r\n"
        case 413: "HTTP/1.1 413 Content Too Large\r\n"
        case 414: "HTTP/1.1 414 URI Too Long\r\n"
        case 415: "HTTP/1.1 415 Unsupported Media Type\r\n"
        case 417: "HTTP/1.1 417 Expectation Failed\r\n"
        case 422: "HTTP/1.1 422 Unprocessable Content\r\n"
        case 429: "HTTP/1.1 429 Too Many Requests\r\n"
        case 431: "HTTP/1.1 431 Request Header Fields Too Large\r\n"
        case 500: "HTTP/1.1 500 Internal Server Error\r\n"
        case 501: "HTTP/1.1 501 Not Implemented\r\n"
        case 502: "HTTP/1.1 502 Bad Gateway\r\n"
        case 503: "HTTP/1.1 503 Service Unavailable\r\n"
        case 504: "HTTP/1.1 504 Gateway Timeout\r\n"
        case 505: "HTTP/1.1 505 HTTP Version Not Supported\r\n"
        default: nil
        }
    }
}
