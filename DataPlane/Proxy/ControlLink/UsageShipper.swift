import Contract
import Dispatch
import GRPCCore
import GRPCProtobuf
import Logging
import Primitives
import Synchronization

/// Ships the outbox over one `ReportUsage` stream until that ends.
struct UsageShipper {
    /// Without an answer for so long, the stream is given up.
    static let stallSeconds: Int64 = 30

    let outbox: any UsageOutbox
    let logger: Logger
    /// SQLite is waited for here, not on a thread that others need.
    let worker: DispatchQueue
    /// Raised by the outbox's new batches, and by answers.
    let wake: LinkSignal

    /// - Throws: when the stream or the outbox fails; whoever calls reconnects.
    func run(_ client: GRPCClient<FleetConnection.Transport>, metadata: Metadata) async throws {
        let shipping = SharedShipping()
        let request = StreamingClientRequest<UsageMessage>(of: UsageMessage.self, metadata: metadata) { writer in
            try await send(shipping, writer)
        }
        try await client.bidirectionalStreaming(
            request: request, descriptor: Weir_V1_Fleet.Method.ReportUsage.descriptor, serializer: UsageMessageSerializer(),
            deserializer: ProtobufDeserializer<Weir_V1_UsageAck>(), options: FleetConnection.streamOptions
        ) { response in
            for try await ack in response.messages { try await receive(ack, shipping) }
        }
        throw RPCError(code: .unavailable, message: "the control plane ended the usage stream")
    }

    private func send(_ shipping: SharedShipping, _ writer: RPCWriter<UsageMessage>) async throws {
        var waits = 0
        while !Task.isCancelled {
            guard let wanted = shipping.state.withLock({ $0.request }) else {
                try await pause(shipping, &waits)
                continue
            }
            let (incarnation, batches) = try await worker.blocking { try outbox.batches(after: wanted.after, limit: wanted.limit) }
            for batch in batches {
                if case .lost(let from, let through) = shipping.state.withLock({ $0.willSend(batch.sequence) }) {
                    try await restart(from, through)
                }
                try await writer.write(UsageMessage(incarnation: incarnation, batch: batch))
            }
            if batches.isEmpty { try await pause(shipping, &waits) } else { waits = 0 }
        }
    }

    /// Until there is something to do. What is under way and not answered for long is a stall.
    private func pause(_ shipping: SharedShipping, _ waits: inout Int) async throws {
        if await wake.wait(milliseconds: 1000) {
            waits = 0
            return
        }
        waits = shipping.state.withLock { $0.isIdle } ? 0 : waits + 1
        guard waits < Self.stallSeconds else {
            throw RPCError(code: .deadlineExceeded, message: "no answer to a usage batch for \(Self.stallSeconds) s")
        }
    }

    /// The control plane was restored from a backup older than its last answers.
    private func restart(_ from: UInt64, _ through: UInt64) async throws {
        let outbox = outbox
        let incarnation = try await worker.blocking { try outbox.restart() }
        logger.critical(
            "the control plane has lost usage that it acknowledged; the rest is numbered anew",
            metadata: ["lost_from": "\(from)", "lost_through": "\(through)", "incarnation": "\(incarnation)"])
        throw RPCError(code: .aborted, message: "the control plane has lost usage batches \(from) to \(through)")
    }

    private func receive(_ ack: Weir_V1_UsageAck, _ shipping: SharedShipping) async throws {
        let outcome = try await worker.blocking {
            if ack.forkedSequence > 0 { return try outbox.fork(at: ack.forkedSequence, incarnation: ack.incarnation) }
            return try outbox.acknowledge(through: ack.storedSequence, incarnation: ack.incarnation)
        }
        switch outcome {
        case .removed:
            let answer = shipping.state.withLock { $0.didReceive(stored: ack.storedSequence) }
            if case .again(let sequence) = answer {
                logger.warning("usage is sent again", metadata: ["after": "\(sequence)"])
            }
        case .ignored:
            break
        case .newIncarnation(let incarnation):
            logger.critical(
                "this data directory is a copy, or an older one of itself: usage is numbered anew",
                metadata: ["incarnation": "\(incarnation)"])
            throw RPCError(code: .aborted, message: "the outbox has a new incarnation")
        }
        wake.raise()
    }
}

/// The state of a stream, shared by the halves that write and read it.
private final class SharedShipping: Sendable {
    let state = Mutex(UsageShipping())
}

/// A batch as it rests in the outbox: the records are not decoded to be sent.
struct UsageMessage: Sendable {
    let incarnation: String
    let batch: OutboxBatch

    /// A serialised `UsageBatch`: fields 1 and 2, and the blob, which is the others.
    var bytes: [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(batch.records.count + incarnation.utf8.count + 16)
        out.append(1 << 3 | 2)
        Varint.append(UInt64(incarnation.utf8.count), to: &out)
        out.append(contentsOf: incarnation.utf8)
        out.append(2 << 3)
        Varint.append(batch.sequence, to: &out)
        out.append(contentsOf: batch.records)
        return out
    }
}

struct UsageMessageSerializer: MessageSerializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: UsageMessage) throws -> Bytes { Bytes(message.bytes) }
}
