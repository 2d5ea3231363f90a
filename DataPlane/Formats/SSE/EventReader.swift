import Primitives

/// Takes server-sent events (WHATWG HTML section 9.2) apart that come split anywhere. Holds what has come of one event, at most.
struct EventReader: Sendable {
    struct Event {
        /// The value of `event`; empty when there is none.
        var name: [UInt8] = []
        /// The lines of `data`, joined by line feeds; nil for an event without any.
        var data: [UInt8]?
    }

    /// The most bytes that one event may have.
    static let maxEventBytes = 16 * 1024 * 1024

    private var held: [UInt8] = []
    private var boundary = EventBoundary()
    private var isFirst = true

    /// Hands on every event that ends within these bytes. Returns false when one is larger than what is held.
    mutating func consume(_ bytes: UnsafeRawBufferPointer, _ handle: (Event) -> Void) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        let mayHoldCR = ByteScan.find(0x0D, base, from: 0, limit: bytes.count) != nil
        var at = 0
        while at < bytes.count {
            guard let end = boundary.endOfEvent(base, from: at, limit: bytes.count, mayHoldCR: mayHoldCR) else { break }
            if held.isEmpty {
                read(UnsafeRawBufferPointer(rebasing: bytes[at..<end]), handle)
            } else {
                held.append(contentsOf: bytes[at..<end])
                held.withUnsafeBytes { read($0, handle) }
                held.removeAll(keepingCapacity: held.capacity <= 65_536)
            }
            at = end
        }
        guard held.count + bytes.count - at <= Self.maxEventBytes else { return false }
        held.append(contentsOf: bytes[at...])
        return true
    }

    /// Nothing follows: an event whose blank line is missing counts, as providers end their last one so.
    mutating func finish(_ handle: (Event) -> Void) {
        held.withUnsafeBytes { read($0, handle) }
        held = []
    }

    private mutating func read(_ bytes: UnsafeRawBufferPointer, _ handle: (Event) -> Void) {
        guard let base = bytes.baseAddress else { return }
        let start = isFirst ? ByteOrderMark.length(base, 0, bytes.count) : 0
        isFirst = false
        var event = Event()
        var lines = EventLines(base: base, limit: bytes.count, at: start)
        while let line = lines.next() {
            if let value = EventLines.dataValue(base, line) {
                if event.data != nil { event.data?.append(0x0A) } else { event.data = [] }
                event.data?.append(contentsOf: bytes[value])
            } else if line.count > 6, ByteScan.equals(base, line.lowerBound, 6, "event:") {
                var value = line.lowerBound + 6
                if ByteScan.byte(base, value) == 0x20 { value += 1 }
                event.name = Array(bytes[value..<line.upperBound])
            }
        }
        if event.data != nil { handle(event) }
    }
}

/// Writes server-sent events.
struct EventWriter: Sendable {
    var bytes: [UInt8] = []

    /// An event of this name with this data, which is one JSON document.
    mutating func event(_ name: StaticString, _ data: [UInt8]) {
        bytes.append(contentsOf: "event: ".utf8)
        bytes.append(contentsOf: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
        bytes.append(0x0A)
        self.data(data)
    }

    /// An event without a name.
    mutating func data(_ data: [UInt8]) {
        bytes.append(contentsOf: "data: ".utf8)
        let start = bytes.count
        bytes.append(contentsOf: data)
        // Values are copied as they were written: line ends between their tokens would end the line.
        for index in start..<bytes.count where bytes[index] == 0x0A || bytes[index] == 0x0D { bytes[index] = 0x20 }
        bytes.append(0x0A)
        bytes.append(0x0A)
    }

    mutating func comment() { bytes.append(contentsOf: ": ping\n\n".utf8) }
}
