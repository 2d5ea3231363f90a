/// Which batches go next, and what an answer means. Pure: one per stream, driven by `UsageShipper`.
///
/// Batches are sent in order, up to a window ahead of what is acknowledged; the first alone, because its answer tells where the control
/// plane stands. When everything sent was answered and less than all of it is stored, the control plane misses one: from there on
/// everything is sent again.
struct UsageShipping {
    static let window: UInt64 = 8

    private var hasAnswer = false
    /// Everything up to here is stored, as far as this stream knows.
    private(set) var acknowledged: UInt64 = 0
    /// Everything up to here was sent, and need not be sent again.
    private(set) var sent: UInt64 = 0
    private var messages: UInt64 = 0
    private var answers: UInt64 = 0

    /// How many batches may be sent now, and above which number they have to be.
    var request: (after: UInt64, limit: Int)? {
        let allowance = hasAnswer ? Self.window : 1
        let ahead = sent - acknowledged
        return ahead < allowance ? (sent, Int(allowance - ahead)) : nil
    }

    /// Everything sent is stored.
    var isIdle: Bool { sent == acknowledged }

    enum Sending: Equatable {
        case send
        /// The control plane wants a number that this outbox no longer has: it has forgotten what it acknowledged.
        case lost(from: UInt64, through: UInt64)
    }

    /// The next batch of the outbox, about to be sent.
    mutating func willSend(_ sequence: UInt64) -> Sending {
        if hasAnswer, sequence > sent &+ 1 { return .lost(from: sent &+ 1, through: sequence &- 1) }
        // The outbox begins where the control plane left off in an earlier connection.
        if messages == 0, sequence > 0 { acknowledged = sequence - 1 }
        sent = max(sent, sequence)
        messages += 1
        return .send
    }

    enum Answer: Equatable {
        /// Rows up to here may go.
        case acknowledged(through: UInt64)
        /// A batch is missing there: sent again from the one after this number on.
        case again(after: UInt64)
    }

    /// The control plane answers each batch with the number up to which all is stored.
    mutating func didReceive(stored: UInt64) -> Answer {
        let isFirst = !hasAnswer
        hasAnswer = true
        answers += 1
        acknowledged = isFirst ? stored : max(acknowledged, stored)
        sent = max(sent, acknowledged)
        if answers >= messages, acknowledged < sent {
            sent = acknowledged
            return .again(after: sent)
        }
        return .acknowledged(through: acknowledged)
    }
}
