import NIOCore
import Primitives

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// An answer on its way: what is sent when, as far as the connection takes it. Used on its channel's event loop only.
final class Exchange {
    private enum Step {
        case head, opening
        case event(Int)
        case closing
        case bytes(ByteBuffer)
        case end, over
    }

    private let prepared: PreparedAnswer
    private let ledger: Ledger
    private let ticket: Ledger.Ticket?
    private let finished: (ChannelHandlerContext) -> Void
    private var step = Step.head
    private var wakeUp: Scheduled<Void>?
    private var isPumping = false
    /// Writes before the other connections of the loop have their turn.
    private static let largestTurn = 256
    private var headWasSent = false
    /// When the next event or byte is due; waits add up from here, so that a late timer does not stretch the whole answer.
    private var due = NIODeadline.uptimeNanoseconds(0)

    private var answer: Answer { prepared.answer }

    /// `finished` is called on the event loop once the answer is sent and the connection may take the next request.
    init(_ prepared: PreparedAnswer, ledger: Ledger, ticket: Ledger.Ticket?, finished: @escaping (ChannelHandlerContext) -> Void) {
        self.prepared = prepared
        self.ledger = ledger
        self.ticket = ticket
        self.finished = finished
    }

    func start(_ context: ChannelHandlerContext) {
        due = .now()
        if answer.delayMicroseconds > 0 {
            wait(microseconds: answer.delayMicroseconds, context)
        } else {
            pump(context)
        }
    }

    /// The connection closed, whoever closed it.
    func connectionClosed() {
        wakeUp?.cancel()
        if case .over = step { return }
        let events = events
        step = .over
        ledger.end(
            ticket, status: headWasSent ? answer.status : 0, usage: nil, outcome: answer.isWhole ? .abandoned : .cut, events: events)
    }

    /// Sends what is due while the connection takes it. Called again when it does after it did not.
    func pump(_ context: ChannelHandlerContext) {
        // Not from within itself: a flush that empties the socket's queue says at once that there is room again.
        guard wakeUp == nil, !isPumping else { return }
        isPumping = true
        defer { isPumping = false }
        var wrote = false
        var turn = 0
        while context.channel.isWritable {
            turn += 1
            if turn > Self.largestTurn {
                context.flush()
                return wait(microseconds: 0, context)
            }
            switch step {
            case .head: sendHead(context)
            case .opening:
                write(answer.opening, context)
                step = .event(0)
            case .event(let index):
                guard index < answer.eventCount, !answer.events.isEmpty else {
                    step = .closing
                    continue
                }
                write(answer.events[index % answer.events.count], context)
                step = .event(index &+ 1)
                if answer.paceMicroseconds > 0, index &+ 1 < answer.eventCount {
                    context.flush()
                    return wait(microseconds: answer.paceMicroseconds, context)
                }
                if answer.burst > 0, (index &+ 1) % answer.burst == 0 { context.flush() }
            case .closing:
                step = .end
                return finish(answer.closing, context)
            case .bytes(var rest):
                guard let byte = rest.readSlice(length: 1) else {
                    step = .end
                    continue
                }
                step = .bytes(rest)
                if rest.readableBytes == 0 {
                    step = .end
                    return finish(byte, context)
                }
                write(byte, context)
                context.flush()
                if let interval = answer.byteIntervalMicroseconds, interval > 0 { return wait(microseconds: interval, context) }
            case .end: return finish(ByteBuffer(), context)
            case .over: return
            }
            wrote = true
        }
        guard wrote else { return }
        context.flush()
        // The flush may have made room that nobody will tell of any more.
        if case .over = step { return }
        if context.channel.isWritable { wait(microseconds: 0, context) }
    }

    private func sendHead(_ context: ChannelHandlerContext) {
        headWasSent = answer.status != 0
        if answer.byteIntervalMicroseconds != nil, let rest = answer.joined(includingHead: answer.byteWiseHead) {
            if !answer.byteWiseHead {
                write(answer.head, context)
                context.flush()
            }
            step = .bytes(rest)
            return
        }
        write(answer.head, context)
        step = .opening
    }

    private func write(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        guard bytes.readableBytes > 0 else { return }
        context.write(NIOAny(bytes), promise: nil)
    }

    /// 0: as soon as the loop has seen to its other connections.
    private func wait(microseconds: Int64, _ context: ChannelHandlerContext) {
        due = microseconds > 0 ? due + .microseconds(microseconds) : max(due, .now())
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        wakeUp = context.eventLoop.scheduleTask(deadline: due) {
            let (exchange, context) = bound.value
            exchange.wakeUp = nil
            exchange.pump(context)
        }
    }

    /// Sends the last bytes; the entry ends when the kernel has taken them.
    private func finish(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        switch answer.end {
        case .stall:
            write(bytes, context)
            context.flush()
            return
        case .reset:
            over(.cut)
            Self.reset(context)
            return
        case .keepAlive, .close: break
        }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.writeAndFlush(NIOAny(bytes)).whenComplete { result in
            let (exchange, context) = bound.value
            guard case .success = result else { return exchange.connectionClosed() }
            exchange.over(exchange.answer.isWhole ? .complete : .cut)
            if exchange.answer.end == .close {
                context.close(promise: nil)
            } else {
                exchange.finished(context)
            }
        }
    }

    private func over(_ outcome: LedgerEntry.Outcome) {
        if case .over = step { return }
        let events = events
        step = .over
        ledger.end(ticket, status: answer.status, usage: outcome == .complete ? answer.stated : nil, outcome: outcome, events: events)
    }

    /// Of a stream: those that were written so far.
    private var events: Int {
        switch step {
        case .event(let index): index
        case .closing, .end: answer.eventCount
        case .head, .opening, .bytes, .over: 0
        }
    }

    /// Closes so that the peer gets a RST instead of a FIN.
    static func reset(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        guard let socket = context.channel as? any SocketOptionProvider else { return context.close(promise: nil) }
        socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in bound.value.close(promise: nil) }
    }
}
