import Contract
import Primitives
import Synchronization

/// What requests ask the control plane, and who waits for each answer: between the loops and the link. Nobody's thread waits; who asks
/// watches the time himself.
package final class ControlQuestions: Sendable {
    /// One question is asked once, however many wait for its answer.
    enum Key: Hashable {
        /// By fingerprint.
        case newcomer([UInt8])
        /// By the DID's id.
        case upstreamKey(IDBits)
        /// By the request's id: no two are alike.
        case own(RequestID)
    }

    /// - Parameter answer: nil: none came, or nobody is there to be asked.
    typealias Listener = @Sendable (_ answer: Weir_V1_Answer?) -> Void

    private struct Open {
        let key: Key
        let askedAt: Int64
        var listeners: [Listener]
    }

    private struct State {
        var next: UInt64 = 0
        var open: [UInt64: Open] = [:]
        var numbers: [Key: UInt64] = [:]
        var listeners = 0
        /// What was refused lately is not asked again at once.
        var refused: [Key: (answer: Weir_V1_Answer, until: Int64)] = [:]
        var stream: (number: UInt64, queue: AsyncStream<Weir_V1_Question>.Continuation)?

        mutating func remove(_ number: UInt64) {
            guard let gone = open.removeValue(forKey: number) else { return }
            numbers[gone.key] = nil
            listeners -= gone.listeners.count
        }

        /// - Returns: whether there is room again.
        mutating func forgetRefusals(_ now: Int64) -> Bool {
            let before = refused.count
            refused = refused.filter { $0.value.until > now }
            return refused.count < before
        }
    }

    private static let maximumOpen = 1000
    private static let maximumListeners = 4000
    private static let maximumRefused = 1000
    private static let refusedMicroseconds: Int64 = 5_000_000
    /// A question that is not answered by then is forgotten.
    private static let openMicroseconds: Int64 = 60_000_000

    private let state = Mutex(State())

    package init() {}

    /// `listener` is called once, on any thread, perhaps before this returns.
    func ask(_ key: Key, _ content: Weir_V1_Question.OneOf_Question, _ listener: @escaping Listener) {
        let now = MonotonicClock.nowMicroseconds()
        enum Outcome {
            case waits
            case told(Weir_V1_Answer?)
        }
        let (outcome, dropped): (Outcome, [Listener]) = state.withLock { state in
            if let known = state.refused[key] {
                if known.until > now { return (.told(known.answer), []) }
                state.refused[key] = nil
            }
            guard let stream = state.stream, state.listeners < Self.maximumListeners else { return (.told(nil), []) }
            if let number = state.numbers[key] {
                state.open[number]?.listeners.append(listener)
                state.listeners += 1
                return (.waits, [])
            }
            var dropped: [Listener] = []
            if state.open.count >= Self.maximumOpen {
                for (number, open) in state.open where now - open.askedAt > Self.openMicroseconds {
                    dropped += open.listeners
                    state.remove(number)
                }
                guard state.open.count < Self.maximumOpen else { return (.told(nil), dropped) }
            }
            state.next &+= 1
            state.open[state.next] = Open(key: key, askedAt: now, listeners: [listener])
            state.numbers[key] = state.next
            state.listeners += 1
            var question = Weir_V1_Question()
            question.id = state.next
            question.question = content
            stream.queue.yield(question)
            return (.waits, dropped)
        }
        for listener in dropped { listener(nil) }
        if case .told(let answer) = outcome { listener(answer) }
    }

    /// Whether somebody is there to be asked.
    package var isOpen: Bool { state.withLock { $0.stream != nil } }

    // MARK: The link's side

    /// The stream is there: questions are taken from now on.
    func connected() -> (number: UInt64, questions: AsyncStream<Weir_V1_Question>) {
        let (questions, queue) = AsyncStream<Weir_V1_Question>.makeStream()
        let number = state.withLock { state in
            state.next &+= 1
            state.stream = (state.next, queue)
            return state.next
        }
        return (number, questions)
    }

    /// Whoever waits for an answer of this stream hears that none comes.
    func disconnected(_ number: UInt64) {
        let listeners = state.withLock { state -> [Listener] in
            guard let stream = state.stream, stream.number == number else { return [] }
            stream.queue.finish()
            state.stream = nil
            let listeners = state.open.values.flatMap(\.listeners)
            state.open = [:]
            state.numbers = [:]
            state.listeners = 0
            return listeners
        }
        for listener in listeners { listener(nil) }
    }

    func answered(_ answer: Weir_V1_Answer) {
        let now = MonotonicClock.nowMicroseconds()
        let listeners = state.withLock { state -> [Listener] in
            guard let open = state.open[answer.id] else { return [] }
            state.remove(answer.id)
            if !answer.code.isEmpty, answer.status < 500, state.refused.count < Self.maximumRefused || state.forgetRefusals(now) {
                state.refused[open.key] = (answer, now &+ Self.refusedMicroseconds)
            }
            return open.listeners
        }
        for listener in listeners { listener(answer) }
    }
}
