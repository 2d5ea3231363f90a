import NIOCore
import Primitives
import Synchronization
import Wire

/// One connection of the simulator: reads requests one after the other, decides each and lets an ``Exchange`` send the answer.
final class Connection: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// A request's body is held whole.
    private static let maximumBodyBytes = 64 << 20
    /// While an answer is under way, no more than this is read ahead.
    private static let maximumReadAhead = 256 << 10

    private let router: Router
    private let shared: Shared
    private var parser = RequestHeadParser(limits: HTTPLimits(maxHeadBytes: 128 << 10))
    private var received = ByteBuffer()
    private var headBytes: Int?
    private var chunks: ChunkedBody?
    private var saidContinue = false
    private var exchange: Exchange?
    private var isClosing = false
    private var owesRead = false

    init(_ shared: Shared) {
        self.shared = shared
        router = Router(shared)
    }

    func channelActive(context: ChannelHandlerContext) {
        shared.connectionsOpened.wrappingAdd(1, ordering: .relaxed)
        shared.connectionsOpen.wrappingAdd(1, ordering: .relaxed)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        shared.connectionsOpen.wrappingSubtract(1, ordering: .relaxed)
        exchange?.connectionClosed()
        exchange = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { exchange?.pump(context) }
    }

    func read(context: ChannelHandlerContext) {
        if exchange != nil, received.readableBytes > Self.maximumReadAhead {
            owesRead = true
        } else {
            context.read()
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if isClosing { return }
        if received.readableBytes == 0 {
            received = bytes
        } else {
            received.writeBuffer(&bytes)
        }
        process(context)
    }

    /// Answers every request that is here in full, one at a time.
    private func process(_ context: ChannelHandlerContext) {
        while exchange == nil, !isClosing, received.readableBytes > 0 {
            guard let head = readHead(context), let body = readBody(head, context) else { break }
            let isLast = !parser.keepAlive
            let decision = received.withUnsafeReadableBytes { router.decide($0, parser, body) }
            received.moveReaderIndex(forwardBy: body.messageBytes)
            parser.reset()
            headBytes = nil
            chunks = nil
            saidContinue = false
            shared.requests.wrappingAdd(1, ordering: .relaxed)
            carryOut(decision, isLast: isLast, context)
        }
        // Nothing kept: the receive buffer goes back to the channel for its next read.
        if received.readableBytes == 0 { received = ByteBuffer() }
    }

    private func readHead(_ context: ChannelHandlerContext) -> Int? {
        if let headBytes { return headBytes }
        switch received.withUnsafeReadableBytes({ parser.parse($0) }) {
        case .needMore: return nil
        case .complete(let bytes):
            headBytes = bytes
            if parser.isChunked { chunks = ChunkedBody(maximumBytes: Self.maximumBodyBytes) }
            return bytes
        case .invalid(let violation):
            refuse(violation.status, context)
            return nil
        }
    }

    private func readBody(_ head: Int, _ context: ChannelHandlerContext) -> MessageBody? {
        if chunks != nil {
            switch received.withUnsafeReadableBytes({ chunks?.decode($0, from: head) ?? .invalid }) {
            case .needMore: break
            case .complete(let end): return MessageBody(messageBytes: end, range: nil, decoded: chunks?.decoded ?? [])
            case .invalid:
                refuse(400, context)
                return nil
            }
        } else {
            let length = parser.contentLength ?? 0
            guard length <= Int64(Self.maximumBodyBytes) else {
                refuse(413, context)
                return nil
            }
            let end = head + Int(length)
            if received.readableBytes >= end { return MessageBody(messageBytes: end, range: head..<end, decoded: []) }
        }
        if parser.expectsContinue, !saidContinue {
            saidContinue = true
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n")), promise: nil)
        }
        return nil
    }

    private func refuse(_ status: Int, _ context: ChannelHandlerContext) {
        isClosing = true
        let answer = ControlEndpoints.response(status: status, body: ErrorBody.json(status: status, model: ""), closes: true)
        closeAfter(answer, context)
    }

    private func closeAfter(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        isClosing = true
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(bytes)).whenComplete { _ in bound.value.close(promise: nil) }
    }

    private func carryOut(_ decision: Router.Decision, isLast: Bool, _ context: ChannelHandlerContext) {
        switch decision {
        case .silence(let closes): if closes { closeAfter(ByteBuffer(), context) }
        case .control(let bytes):
            if isLast {
                closeAfter(bytes, context)
            } else {
                context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
            }
        case .answer(let prepared, let ticket):
            if let whole = prepared.answer.atOnce, prepared.answer.end == .keepAlive, !isLast {
                sendAtOnce(whole, prepared, ticket, context)
                return
            }
            let exchange = Exchange(prepared, ledger: shared.ledger, ticket: ticket) { [weak self] context in
                self?.exchangeIsOver(isLast: isLast, context)
            }
            self.exchange = exchange
            exchange.start(context)
        }
    }

    private func sendAtOnce(_ whole: ByteBuffer, _ prepared: PreparedAnswer, _ ticket: Ledger.Ticket?, _ context: ChannelHandlerContext) {
        guard let ticket else {
            context.writeAndFlush(wrapOutboundOut(whole), promise: nil)
            return
        }
        let ledger = shared.ledger
        context.writeAndFlush(wrapOutboundOut(whole)).whenComplete { result in
            let answer = prepared.answer
            if case .success = result {
                ledger.end(ticket, status: answer.status, usage: answer.stated, outcome: answer.isWhole ? .complete : .cut)
            } else {
                ledger.end(ticket, status: 0, usage: nil, outcome: .abandoned)
            }
        }
    }

    private func exchangeIsOver(isLast: Bool, _ context: ChannelHandlerContext) {
        exchange = nil
        if isLast {
            isClosing = true
            context.close(promise: nil)
            return
        }
        process(context)
        if owesRead {
            owesRead = false
            context.read()
        }
    }
}

/// Where a request's body is: a range of the received bytes, or decoded from chunks.
struct MessageBody {
    /// Head, body and framing together.
    let messageBytes: Int
    let range: Range<Int>?
    let decoded: [UInt8]
}
