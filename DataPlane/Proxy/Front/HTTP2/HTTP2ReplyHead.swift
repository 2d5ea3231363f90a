import NIOHPACK
import Wire

extension HPACKHeaders {
    /// An answer's head as HTTP/2 has it (RFC 9113 §8.3.2).
    /// - Parameters:
    ///   - originLines: see `CrossOrigin`.
    ///   - dateLine: `date: …`, with its line end.
    init(_ head: ReplyHead, originLines: [UInt8], dateLine: [UInt8]) {
        self.init()
        reserveCapacity(8 + head.fields.count)
        add(name: ":status", value: String(head.status))
        switch head.content {
        case .json: if head.length != .none { add(name: "content-type", value: "application/json") }
        case .eventStream:
            add(name: "content-type", value: "text/event-stream")
            add(name: "cache-control", value: "no-cache")
        case .other(let value): if !value.isEmpty { add(name: "content-type", value: Self.text(value)) }
        }
        switch head.length {
        case .none: if head.status != 204, head.status != 304 { add(name: "content-length", value: "0") }
        // What changes with each answer is not worth a place in the peer's table.
        case .known(let length): add(name: "content-length", value: String(length), indexing: .nonIndexable)
        case .unknown: break
        }
        for field in head.fields { add(field.name, field.value) }
        if let standings = head.standings {
            reserveCapacity(14 + head.fields.count)
            standings.forEach { name, value in add(name, value) }
        }
        if !originLines.isEmpty { add(lines: originLines) }
        add(lines: dateLine)
        add(name: "x-request-id", value: "\(head.requestID)", indexing: .nonIndexable)
        if !head.configVersion.isEmpty { add(name: "x-weir-config-version", value: Self.text(head.configVersion)) }
    }

    private mutating func add(_ name: StaticString, _ value: some Collection<UInt8>) {
        let name = UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        add(name: Self.text(name), value: Self.text(value), indexing: .nonIndexable)
    }

    /// Whole lines of our own, `name: value` and a line end each.
    private mutating func add(lines: [UInt8]) {
        for line in lines.split(separator: UInt8(ascii: "\n")) {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { continue }
            add(name: Self.text(line[..<colon]), value: Self.text(line[colon...].dropFirst(2).prefix { $0 != UInt8(ascii: "\r") }))
        }
    }

    private static func text(_ bytes: some Collection<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }
}
