import Formats

/// The seventh stage: reads along while a response passes. Which meter depends on what the provider answered with.
///
/// Both meters have their place here for good and work in it: as payloads of an enumeration they would be moved out and in for each piece.
struct ResponseMeter {
    enum Kind {
        case none
        /// One JSON document.
        case document
        /// Server-sent events.
        case stream
    }

    private(set) var kind = Kind.none
    private var document = BodyUsageMeter()
    private var stream = StreamUsageMeter(mode: .observe)

    mutating func reset() {
        if kind == .none { return }
        document = BodyUsageMeter()
        stream = StreamUsageMeter(mode: .observe)
        kind = .none
    }

    mutating func beginDocument() { kind = .document }

    mutating func beginStream(_ mode: StreamUsageMeter.Mode) {
        stream = StreamUsageMeter(mode: mode)
        kind = .stream
    }

    /// Whether something is taken out of what passes, so that `strip` says what goes on.
    var strips: Bool { kind == .stream && stream.mode == .strip }

    mutating func strip(_ bytes: UnsafeRawBufferPointer, into output: inout [UInt8]) { stream.strip(bytes, into: &output) }

    mutating func observe(_ bytes: UnsafeRawBufferPointer) {
        switch kind {
        case .none: return
        case .document: document.consume(bytes)
        case .stream: stream.observe(bytes)
        }
    }

    /// Nothing follows; what a stream's meter still holds back is added to `output`.
    mutating func finish(into output: inout [UInt8]) {
        switch kind {
        case .none: return
        case .document: document.finish()
        case .stream: stream.finish(into: &output)
        }
    }

    var reading: UsageReading {
        switch kind {
        case .none: .absent
        case .document: document.reading
        case .stream: stream.reading
        }
    }

    /// Bytes of generated text seen, for estimates.
    var contentBytes: Int64 {
        switch kind {
        case .none: 0
        case .document: document.contentBytes
        case .stream: stream.contentBytes
        }
    }

    /// The stream said `[DONE]`: nothing that matters follows.
    var sawDone: Bool { kind == .stream && stream.sawDone }

    /// An error inside a response of status 200.
    var sawError: Bool {
        switch kind {
        case .none: false
        case .document: document.sawError
        case .stream: stream.sawError
        }
    }
}
