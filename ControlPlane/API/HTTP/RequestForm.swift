import HTTPTypes
import NIOCore
import NIOHTTP1
import Primitives

/// One resource has one spelling: a proxy in front that lets only some paths pass, or sends hosts to different places, must see what we
/// see. What could be read in two ways is refused, although we would read it well.
package enum RequestForm {
    /// Why a request's target is refused; nil when it may pass. RFC 9112 §3.2: origin-form only, and of its path the plain form only,
    /// which every identifier and word of ours has: no percent-encoding, no empty or dot segments, none at the end.
    package static func problem(target: String) -> String? {
        guard target.utf8.first == UInt8(ascii: "/") else { return "the request's target has to be a path" }
        let path = target.utf8.prefix { $0 != UInt8(ascii: "?") }
        guard path.allSatisfy(isPlain) else { return "the path holds a character that no path here has, or one that is percent-encoded" }
        if path.count == 1 || pages.contains(String(Substring(path))) { return nil }
        for segment in path.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            if segment.isEmpty { return "the path holds an empty segment: two slashes, or one at its end" }
            if segment.elementsEqual(".".utf8) || segment.elementsEqual("..".utf8) { return "the path holds a dot segment" }
        }
        return nil
    }

    /// Addresses that people type, and that lead to the page's own.
    private static let pages: Set<String> = ["/admin/", "/portal/", "/docs/"]

    /// Why the Host fields are refused; nil when they may pass. RFC 9112 §3.2: one, and not empty; HTTP/1.0 may have none.
    static func problem(hosts: [String], isHTTP10: Bool) -> String? {
        guard let host = hosts.first else { return isHTTP10 ? nil : "the header Host is missing" }
        guard hosts.count == 1 else { return "the header Host appears more than once" }
        let isPlain = host.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            default: "-._:[]".utf8.contains(byte)
            }
        }
        return host.isEmpty || !isPlain ? "the header Host is not host or host:port" : nil
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: "/-._~".utf8.contains(byte)
        }
    }

    /// Carries what `HeadGuard` found to where a problem document can be made of it.
    static let field = HTTPField.Name("x-weir-refused-form") ?? .via
}

/// Stands before HTTP's types lose what the head looked like: which form the target had, and how many Hosts there were.
final class HeadGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// For how long what follows a head that is too large is read and thrown away, so that its sender can read what it is told.
    private static let lingering = TimeAmount.seconds(1)

    /// Heads that have come and whose answers have not ended.
    private var unanswered = 0
    private var isRefused = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(var head) = unwrapInboundIn(data) else {
            context.fireChannelRead(data)
            return
        }
        unanswered += 1
        // Nobody else may speak for us.
        head.headers.remove(name: RequestForm.field.rawName)
        let problem =
            RequestForm.problem(target: head.uri)
            ?? RequestForm.problem(hosts: head.headers["host"], isHTTP10: head.version.major == 1 && head.version.minor == 0)
        if let problem {
            head.uri = "/"
            head.headers.replaceOrAdd(name: "host", value: "invalid")
            head.headers.add(name: RequestForm.field.rawName, value: problem)
        }
        context.fireChannelRead(wrapInboundOut(.head(head)))
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) { unanswered -= 1 }
        context.write(data, promise: promise)
    }

    /// A head beyond the limits has no handler: it is answered here. RFC 6585 §5.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if isRefused { return }
        guard case HTTPParserError.headerOverflow = error, unanswered == 0 else { return context.fireErrorCaught(error) }
        isRefused = true
        var generator = SystemRandomNumberGenerator()
        let response = Problem.headTooLarge.response(requestID: RequestID.random(using: &generator).text)
        let head = HTTPResponseHead(
            version: .http1_1, status: .requestHeaderFieldsTooLarge,
            headers: [
                "content-type": "application/problem+json", "content-length": String(response.body.count), "connection": "close",
            ])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: response.body)))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        let channel = context.channel
        context.eventLoop.scheduleTask(in: Self.lingering) { channel.close(promise: nil) }
    }
}
