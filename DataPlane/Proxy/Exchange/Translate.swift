import Formats
import NIOCore
import Primitives

/// The fifth stage: the bytes of the provider's request. Between two ends that speak the same dialect the caller's body goes through
/// untouched but for the dialect's edits.
enum Translate {
    /// - Returns: the head, and the body where it is too large to be copied behind it.
    static func request(_ admission: Admission, _ candidate: Candidate, _ loop: LoopContext) -> (head: ByteBuffer, body: ByteBuffer?) {
        if let translated = candidate.translated { return request(translated, admission, candidate, loop) }
        let edits = candidate.dialect.edits(admission, candidate)
        let original = admission.body.readableBytes
        let length = edits.reduce(original) { $0 + $1.replacement.count - $1.range.count }
        let isSmall = length <= 65_536 || !edits.isEmpty
        var buffer = loop.spareBuffers.take(640 + (isSmall ? length : 0))
        let rest = admission.upload.map { $0.length - original } ?? 0
        buffer.writeHead { writeHead(&$0, admission, candidate, contentLength: length + rest) }
        guard isSmall else { return (buffer, admission.body) }
        admission.body.withUnsafeReadableBytes { bytes in
            // The edits are made of this body's own offsets, in order: they cannot lie outside it or overlap.
            _ = Splice.apply(edits, to: bytes) { buffer.writeBytes($0) }
        }
        return (buffer, nil)
    }

    private static func request(
        _ translated: TranslatedRequest, _ admission: Admission, _ candidate: Candidate, _ loop: LoopContext
    ) -> (head: ByteBuffer, body: ByteBuffer?) {
        let length = translated.body.count
        var buffer = loop.spareBuffers.take(640 + length)
        buffer.writeHead { writeHead(&$0, admission, candidate, contentLength: length) }
        buffer.writeBytes(translated.body)
        return (buffer, nil)
    }

    /// The candidate with the request in its endpoint's dialect, which is another than the caller's.
    static func into(_ candidate: Candidate, _ admission: Admission, _ loop: LoopContext) throws(TranslationRefusal) -> Candidate {
        guard let translation = Translation(from: admission.caller.dialect, to: candidate.dialect) else {
            throw TranslationRefusal("model", "The model's provider cannot be asked by way of this API.")
        }
        var options = TranslationOptions(model: candidate.target.upstreamModel)
        options.asksForUsage = candidate.asksForUsage
        options.outputBound = admission.outputBound
        options.writesBound = admission.writtenOutputBound != nil
        options.boundName = candidate.boundName
        options.isOpenRouter = candidate.endpoint.flavour == .openRouter
        options.leavesOut = candidate.refusedMembers.union(loop.health.refusedMembers(candidate.target, now: loop.nowMicroseconds))
        options.createdSeconds = loop.clock.nowMilliseconds() / 1000
        var candidate = candidate
        candidate.translated = try translated(admission, translation, options)
        return candidate
    }

    /// What a template adds and the provider's API has no place for is left out there, as the request would go without a template.
    private static func translated(
        _ admission: Admission, _ translation: Translation, _ options: TranslationOptions
    ) throws(TranslationRefusal) -> TranslatedRequest {
        do throws(TranslationRefusal) {
            return try translation.request(Array(admission.body.readableBytesView), options)
        } catch {
            guard var refused = admission.refusedChange(param: error.param, message: "") else { throw error }
            var first = error
            // Each round leaves one of them at least.
            while refused.kept == nil {
                guard let body = admission.body(with: refused.left) else { throw first }
                do throws(TranslationRefusal) { return try translation.request(body, options) } catch {
                    guard let more = admission.refusedChange(param: error.param, message: "", of: refused.left) else { throw error }
                    first = error
                    refused = more
                }
            }
            throw first
        }
    }

    private static func writeHead(_ head: inout HeadWriter, _ admission: Admission, _ candidate: Candidate, contentLength: Int) {
        if let forward = admission.forward { return writeHead(&head, forward, admission, candidate, contentLength: contentLength) }
        head.put("POST ")
        // Files belong to the account, and to no deployment of it.
        head.put(
            admission.capability == .files ? candidate.endpoint.accountPrefix : candidate.target.pathPrefix(in: candidate.dialect))
        if let media = admission.media {
            head.put(media.operation.path)
        } else {
            head.put(admission.capability.path(in: candidate.dialect))
        }
        if !candidate.endpoint.pathSuffix.isEmpty { head.put(candidate.endpoint.pathSuffix) }
        head.put(" HTTP/1.1\r\nhost: ")
        head.put(candidate.endpoint.hostHeader)
        head.put("\r\n")
        head.put(candidate.credentialLine)
        head.put("content-type: ")
        if let media = admission.media {
            head.put(media.contentType)
            head.put("\r\naccept: */*")
        } else {
            head.put("application/json\r\naccept: ")
            head.put(admission.isStreaming ? "text/event-stream" : "application/json")
        }
        // Nothing compressed: a compressed answer could not be metered as it passes.
        head.put("\r\naccept-encoding: identity\r\nuser-agent: weir\r\nx-request-id: ")
        head.put(admission.requestID)
        head.put("\r\n")
        if !admission.forwardedLines.isEmpty { head.put(admission.forwardedLines) }
        if !admission.templateLines.isEmpty { head.put(admission.templateLines) }
        if candidate.dialect != .openAI || !admission.dialectLines.isEmpty { putDialectLines(&head, admission, candidate) }
        head.put("content-length: ")
        head.put(decimal: contentLength)
        head.put("\r\n\r\n")
    }

    /// What the caller says in fields of its dialect is for a provider of the same one. Anthropic's API has to be told a version.
    private static func putDialectLines(_ head: inout HeadWriter, _ admission: Admission, _ candidate: Candidate) {
        let isSame = candidate.translated == nil
        if isSame { head.put(admission.dialectLines) }
        guard candidate.dialect == .messages, !isSame || !admission.namesVersion else { return }
        head.put("anthropic-version: ")
        if candidate.endpoint.apiVersion.isEmpty || candidate.endpoint.flavour == .azure {
            head.put("2023-06-01")
        } else {
            head.put(Array(candidate.endpoint.apiVersion.utf8))
        }
        head.put("\r\n")
    }

    private static func writeHead(
        _ head: inout HeadWriter, _ forward: Forward, _ admission: Admission, _ candidate: Candidate, contentLength: Int
    ) {
        head.put(forward.method)
        head.put(" ")
        // Files belong to the account, and to no deployment of it.
        head.put(
            admission.capability == .files
                ? candidate.endpoint.accountPrefix
                : admission.kept == nil ? candidate.endpoint.pathPrefix : candidate.target.pathPrefix(in: candidate.dialect))
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
