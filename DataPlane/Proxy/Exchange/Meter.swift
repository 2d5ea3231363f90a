import Formats

/// The seventh stage: reads along while a response passes. Which meter depends on what the provider answered with.
enum ResponseMeter {
    case none
    /// One JSON document.
    case document(BodyUsageMeter)
    /// Server-sent events.
    case stream(StreamUsageMeter)

    var reading: UsageReading {
        switch self {
        case .none: .absent
        case .document(let meter): meter.reading
        case .stream(let meter): meter.reading
        }
    }

    /// Bytes of generated text seen, for estimates.
    var contentBytes: Int64 {
        switch self {
        case .none: 0
        case .document(let meter): meter.contentBytes
        case .stream(let meter): meter.contentBytes
        }
    }

    /// The stream said `[DONE]`: nothing that matters follows.
    var sawDone: Bool {
        if case .stream(let meter) = self { return meter.sawDone }
        return false
    }

    /// An error inside a response of status 200.
    var sawError: Bool {
        switch self {
        case .none: false
        case .document(let meter): meter.sawError
        case .stream(let meter): meter.sawError
        }
    }
}
