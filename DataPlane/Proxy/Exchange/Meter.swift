import Formats

/// The seventh stage: reads along while a response passes. Which meter depends on what the provider answered with.
///
/// A document's meter has its place here and works in it: as an enumeration's payload it would be moved out and in for each piece. A stream's has
/// one of its own, so that requests which are answered by a document do not carry it: an `Attempt` stays small enough for malloc's cache.
struct ResponseMeter {
    enum Shape {
        /// It is not known yet.
        case none
        /// One JSON document.
        case document
        /// Server-sent events.
        case stream
    }

    private(set) var shape = Shape.none
    private var document: BodyUsageMeter?
    private var stream: StreamMeter?

    private final class StreamMeter {
        var meter: StreamUsageMeter
        init(_ meter: StreamUsageMeter) { self.meter = meter }
    }

    /// - Parameter dialect: of the answer.
    mutating func beginDocument(_ dialect: Dialect, isSequence: Bool = false) {
        document = BodyUsageMeter(dialect, isSequence: isSequence)
        shape = .document
    }

    /// - Parameter learnsID: see `responseID`.
    mutating func beginStream(_ dialect: Dialect, _ mode: StreamUsageMeter.Mode, _ hidden: HiddenTexts, learnsID: Bool = false) {
        stream = StreamMeter(StreamUsageMeter(dialect, mode: mode, hidden: hidden, learnsID: learnsID))
        shape = .stream
    }

    /// Of a stream of Responses: the provider's id, once an event has said it and if it was asked for.
    var responseID: [UInt8]? { stream?.meter.responseID }

    /// Reads a piece of a stream and hands on what the caller is to see of it: whole events.
    mutating func relay(_ bytes: UnsafeRawBufferPointer, emit: StreamUsageMeter.Emit) { stream?.meter.relay(bytes, emit: emit) }

    /// A part of an event that was too large to be held has gone out.
    var isInsideSentEvent: Bool { stream?.meter.isInsideSentEvent ?? false }

    mutating func observe(_ bytes: UnsafeRawBufferPointer) {
        switch shape {
        case .none: return
        case .document: document?.consume(bytes)
        case .stream: stream?.meter.observe(bytes)
        }
    }

    /// Nothing follows; what a stream's meter still holds back is handed on.
    mutating func finish(emit: StreamUsageMeter.Emit) {
        switch shape {
        case .none: return
        case .document: document?.finish()
        case .stream: stream?.meter.finish(emit: emit)
        }
    }

    var reading: UsageReading {
        switch shape {
        case .none: .absent
        case .document: document?.reading ?? .absent
        case .stream: stream?.meter.reading ?? .absent
        }
    }

    /// Bytes of generated text seen, for estimates.
    var contentBytes: Int64 {
        switch shape {
        case .none: 0
        case .document: document?.contentBytes ?? 0
        case .stream: stream?.meter.contentBytes ?? 0
        }
    }

    /// Of several documents: a stream whose events are no events to the meter.
    var isSequence: Bool { document?.isSequence ?? false }

    /// Of a document: objects in its `data`.
    var elements: Int64 { document?.elements ?? 0 }

    /// Of a stream: in how many pieces that text came.
    var contentPieces: Int64 { stream?.meter.contentEvents ?? 0 }

    /// A stream that has not said that its answer is whole.
    var lacksEnd: Bool { stream?.meter.lacksEnd ?? false }

    /// A stream in which nothing looks like an end.
    var isCutShort: Bool { stream?.meter.isCutShort ?? false }

    /// Events of a stream.
    var events: Int64 { stream?.meter.events ?? 0 }

    /// The stream said `[DONE]`: nothing that matters follows.
    var sawDone: Bool { stream?.meter.sawDone ?? false }

    /// An error inside a response of status 200.
    var sawError: Bool {
        switch shape {
        case .none: false
        case .document: document?.sawError ?? false
        case .stream: stream?.meter.sawError ?? false
        }
    }

    /// Enough was read to tell whether it is an answer: a whole document, or an event of a stream.
    var isTelling: Bool {
        switch shape {
        case .none: false
        case .document: document?.hasEnded ?? false
        case .stream: stream?.meter.isTelling ?? false
        }
    }

    /// Nothing that means anything has been read.
    var isEmpty: Bool {
        switch shape {
        case .none: true
        case .document: document?.totalBytes ?? 0 == 0
        case .stream: stream?.meter.events ?? 0 == 0
        }
    }
}
