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
        var buffer = loop.spareBuffers.take(640 + (isSmall ? length : 0))
        buffer.writeHead { writeHead(&$0, admission, candidate, contentLength: length) }
        guard isSmall else { return (buffer, admission.body) }
        admission.body.withUnsafeReadableBytes { bytes in
            // The edits are made of this body's own offsets, in order: they cannot lie outside it or overlap.
            _ = Splice.apply(edits, to: bytes) { buffer.writeBytes($0) }
        }
        return (buffer, nil)
    }

    private static func writeHead(_ head: inout HeadWriter, _ admission: Admission, _ candidate: Candidate, contentLength: Int) {
        if let forward = admission.forward { return writeHead(&head, forward, admission, candidate, contentLength: contentLength) }
        head.put("POST ")
        head.put(candidate.endpoint.pathPrefix)
        head.put(admission.capability.upstreamPath)
        head.put(" HTTP/1.1\r\nhost: ")
        head.put(candidate.endpoint.hostHeader)
        head.put("\r\n")
        head.put(candidate.credentialLine)
        head.put("content-type: application/json\r\naccept: ")
        head.put(admission.isStreaming ? "text/event-stream" : "application/json")
        // Nothing compressed: a compressed answer could not be metered as it passes.
        head.put("\r\naccept-encoding: identity\r\nuser-agent: weir\r\nx-request-id: ")
        head.put(admission.requestID)
        head.put("\r\n")
        if !admission.forwardedLines.isEmpty { head.put(admission.forwardedLines) }
        head.put("content-length: ")
        head.put(decimal: contentLength)
        head.put("\r\n\r\n")
    }

    private static func writeHead(
        _ head: inout HeadWriter, _ forward: Forward, _ admission: Admission, _ candidate: Candidate, contentLength: Int
    ) {
        head.put(forward.method)
        head.put(" ")
        head.put(candidate.endpoint.pathPrefix)
        head.put(forward.target)
        head.put(" HTTP/1.1\r\nhost: ")
        head.put(candidate.endpoint.hostHeader)
        head.put("\r\n")
        head.put(candidate.credentialLine)
        head.put(forward.lines)
        head.put("accept-encoding: identity\r\nuser-agent: weir\r\nx-request-id: ")
        head.put(admission.requestID)
        head.put("\r\ncontent-length: ")
        head.put(decimal: contentLength)
        head.put("\r\n\r\n")
    }
}
