import Formats
import NIOCore
import Primitives

/// The fifth stage: the bytes of the provider's request. The client's body goes through untouched but for two splices: the model's name
/// at the provider, and `stream_options.include_usage`, without which a stream would end unmetered.
enum Translate {
    /// - Returns: the head, and the body where it is too large to be copied behind it.
    static func request(_ exchange: Exchange, _ attempt: RoutePlan.Attempt) -> (head: ByteBuffer, body: ByteBuffer?) {
        let edits = edits(exchange, attempt.target)
        let original = exchange.body.readableBytes
        let length = edits.reduce(original) { $0 + $1.replacement.count - $1.range.count }
        let isSmall = length <= 65_536 || !edits.isEmpty
        var buffer = exchange.loop.allocator.buffer(capacity: 640 + (isSmall ? length : 0))
        writeHead(&buffer, exchange, attempt, contentLength: length)
        guard isSmall else { return (buffer, exchange.body) }
        exchange.body.withUnsafeReadableBytes { bytes in
            // The edits are made of this body's own offsets, in order: they cannot lie outside it or overlap.
            _ = Splice.apply(edits, to: bytes) { buffer.writeBytes($0) }
        }
        return (buffer, nil)
    }

    /// In the order of their places.
    private static func edits(_ exchange: Exchange, _ target: CompiledTarget) -> [SpliceEdit] {
        guard let members = exchange.members, let model = exchange.model else { return [] }
        let renames = target.upstreamModelBytes != model.nameBytes
        let asks = exchange.isStreaming && !exchange.clientWantsUsage
        guard renames || asks else { return [] }
        var edits = UpstreamEdits(members)
        if renames { edits.setModel(target.upstreamModel) }
        if asks { _ = edits.askForUsage() }
        return edits.sorted()
    }

    private static func writeHead(_ buffer: inout ByteBuffer, _ exchange: Exchange, _ attempt: RoutePlan.Attempt, contentLength: Int) {
        let endpoint = attempt.target.endpoint
        buffer.writeStaticString("POST ")
        buffer.writeBytes(endpoint.pathPrefix)
        buffer.writeStaticString(exchange.capability.upstreamPath)
        buffer.writeStaticString(" HTTP/1.1\r\nhost: ")
        buffer.writeBytes(endpoint.hostHeader)
        buffer.writeStaticString("\r\n")
        buffer.writeBytes(attempt.credentialLine)
        buffer.writeStaticString("content-type: application/json\r\naccept: ")
        buffer.writeStaticString(exchange.isStreaming ? "text/event-stream" : "application/json")
        // Nothing compressed: a compressed answer could not be metered as it passes.
        buffer.writeStaticString("\r\naccept-encoding: identity\r\nuser-agent: weir\r\nx-request-id: ")
        buffer.writeRequestID(exchange.requestID)
        buffer.writeStaticString("\r\n")
        if !exchange.forwardedLines.isEmpty { buffer.writeBytes(exchange.forwardedLines) }
        buffer.writeStaticString("content-length: ")
        buffer.writeDecimal(contentLength)
        buffer.writeStaticString("\r\n\r\n")
    }
}
