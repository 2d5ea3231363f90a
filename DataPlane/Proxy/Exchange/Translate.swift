import Formats
import NIOCore

/// The fifth stage: the bytes of the provider's request. Between two ends that speak the same dialect the caller's body goes through
/// untouched but for the dialect's edits.
enum Translate {
    /// - Returns: the head, and the body where it is too large to be copied behind it.
    static func request(_ admission: Admission, _ candidate: Candidate, _ loop: LoopContext) -> (head: ByteBuffer, body: ByteBuffer?) {
        let edits = admission.caller.dialect.edits(admission, candidate)
        let original = admission.body.readableBytes
        let length = edits.reduce(original) { $0 + $1.replacement.count - $1.range.count }
        let isSmall = length <= 65_536 || !edits.isEmpty
        var buffer = loop.allocator.buffer(capacity: 640 + (isSmall ? length : 0))
        writeHead(&buffer, admission, candidate, contentLength: length)
        guard isSmall else { return (buffer, admission.body) }
        admission.body.withUnsafeReadableBytes { bytes in
            // The edits are made of this body's own offsets, in order: they cannot lie outside it or overlap.
            _ = Splice.apply(edits, to: bytes) { buffer.writeBytes($0) }
        }
        return (buffer, nil)
    }

    private static func writeHead(_ buffer: inout ByteBuffer, _ admission: Admission, _ candidate: Candidate, contentLength: Int) {
        buffer.writeStaticString("POST ")
        buffer.writeBytes(candidate.endpoint.pathPrefix)
        buffer.writeStaticString(admission.capability.upstreamPath)
        buffer.writeStaticString(" HTTP/1.1\r\nhost: ")
        buffer.writeBytes(candidate.endpoint.hostHeader)
        buffer.writeStaticString("\r\n")
        buffer.writeBytes(candidate.credentialLine)
        buffer.writeStaticString("content-type: application/json\r\naccept: ")
        buffer.writeStaticString(admission.isStreaming ? "text/event-stream" : "application/json")
        // Nothing compressed: a compressed answer could not be metered as it passes.
        buffer.writeStaticString("\r\naccept-encoding: identity\r\nuser-agent: weir\r\nx-request-id: ")
        buffer.writeRequestID(admission.requestID)
        buffer.writeStaticString("\r\n")
        if !admission.forwardedLines.isEmpty { buffer.writeBytes(admission.forwardedLines) }
        buffer.writeStaticString("content-length: ")
        buffer.writeDecimal(contentLength)
        buffer.writeStaticString("\r\n\r\n")
    }
}
