import Formats

/// The seventh stage: reads along while a response passes. Which meter depends on what the provider answered with.
///
/// Each meter has its place here and works in it: as payloads of an enumeration they would be moved out and in for each piece.
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
    private var stream: StreamUsageMeter?

    /// - Parameter dialect: of the answer.
    mutating func beginDocument(_ dialect: Dialect, isSequence: Bool = false) {
        document = BodyUsageMeter(dialect, isSequence: isSequence)
        shape = .document
    }

    /// - Parameter learnsID: see `responseID`.
    mutating func beginStream(_ dialect: Dialect, _ mode: StreamUsageMeter.Mode, _ hidden: HiddenTexts, learnsID: Bool = false) {
        stream = StreamUsageMeter(dialect, mode: mode, hidden: hidden, learnsID: learnsID)
        shape = .stream
    }

    /// Of a stream of Responses: the provider's id, once an event has said it and if it was asked for.
    var responseID: [UInt8]? { stream?.responseID }

    /// Reads a piece of a stream and hands on what the caller is to see of it: whole events.
    mutating func relay(_ bytes: UnsafeRawBufferPointer, emit: StreamUsageMeter.Emit) { stream?.relay(bytes, emit: emit) }

    /// A part of an event that was too large to be held has gone out.
    var isInsideSentEvent: Bool { stream?.isInsideSentEvent ?? false }

    mutating func observe(_ bytes: UnsafeRawBufferPointer) {
        switch shape {
        case .none: return
        case .document: document?.consume(bytes)
        case .stream: stream?.observe(bytes)
        }
    }

    /// Nothing follows; what a stream's meter still holds back is handed on.
    mutating func finish(emit: StreamUsageMeter.Emit) {
        switch shape {
        case .none: return
        case .document: document?.finish()
        case .stream: stream?.finish(emit: emit)
        }
    }

    var reading: UsageReading {
        switch shape {
        case .none: .absent
        case .document: document?.reading ?? .absent
        case .stream: stream?.reading ?? .absent
        }
    }

    /// Bytes of generated text seen, for estimates.
    var contentBytes: Int64 {
        switch shape {
        case .none: 0
        case .document: document?.contentBytes ?? 0
        case .stream: stream?.contentBytes ?? 0
        }
    }

    /// Of a document: objects in its `data`.
    var elements: Int64 { document?.elements ?? 0 }

    /// Of a stream: in how many pieces that text came.
    var contentPieces: Int64 { stream?.contentEvents ?? 0 }

    /// A stream that has not said that its answer is whole.
    var lacksEnd: Bool { stream?.lacksEnd ?? false }

    /// A stream in which nothing looks like an end.
    var isCutShort: Bool { stream?.isCutShort ?? false }

    /// Events of a stream.
    var events: Int64 { stream?.events ?? 0 }

    /// The stream said `[DONE]`: nothing that matters follows.
    var sawDone: Bool { stream?.sawDone ?? false }

    /// An error inside a response of status 200.
    var sawError: Bool {
        switch shape {
        case .none: false
        case .document: document?.sawError ?? false
        case .stream: stream?.sawError ?? false
        }
    }

    /// Enough was read to tell whether it is an answer: a whole document, or an event of a stream.
    var isTelling: Bool {
        switch shape {
        case .none: false
        case .document: document?.hasEnded ?? false
        case .stream: stream?.isTelling ?? false
        }
    }

    /// Nothing that means anything has been read.
    var isEmpty: Bool {
        switch shape {
        case .none: true
        case .document: document?.totalBytes ?? 0 == 0
        case .stream: stream?.events ?? 0 == 0
        }
    }
}
