package import Logging
package import Primitives
import Synchronization

/// Where log lines go. A line is whole and ends in a newline. Must not wait: event loops log.
package protocol LogSink: Sendable {
    func write(_ line: String)
}

/// Keeps lines, for tests that look for what must not be logged.
package final class CapturingSink: LogSink {
    private let kept = Mutex<[String]>([])

    package init() {}

    package func write(_ line: String) { kept.withLock { $0.append(line) } }

    package var lines: [String] { kept.withLock { $0 } }
}

/// Writes log messages as JSON lines: `{"time":…,"level":…,"logger":…,"message":…,…metadata}`. Line breaks and control characters
/// are escaped, so one message is always one line and cannot forge another.
package struct StructuredLogHandler: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?

    private let label: String
    private let sink: any LogSink
    private let clock: any WallClock

    package init(label: String, level: Logger.Level, sink: any LogSink = LogWriter.standardError, clock: any WallClock = SystemClock()) {
        self.label = label
        self.sink = sink
        self.clock = clock
        logLevel = level
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var object: JSONObject = [
            "time": .string(RFC3339.string(milliseconds: clock.nowMilliseconds())), "level": .string(event.level.rawValue),
            "logger": .string(label), "message": .string(event.message.description),
        ]
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { _, new in new } }
        if let explicit = event.metadata { all.merge(explicit) { _, new in new } }
        if let error = event.error { object["error"] = .string(String(describing: error)) }
        for (key, value) in all.sorted(by: { $0.key < $1.key }) {
            object[object[key] == nil ? key : "metadata.\(key)"] = Self.json(value)
        }
        sink.write(JSONValue.object(object).text + "\n")
    }

    private static func json(_ value: Logger.MetadataValue) -> JSONValue {
        switch value {
        case .string(let text): .string(text)
        case .stringConvertible(let number as any FixedWidthInteger): Int64(exactly: number).map(JSONValue.int) ?? .string("\(number)")
        case .stringConvertible(let flag as Bool): .bool(flag)
        case .stringConvertible(let value): .string(value.description)
        case .array(let values): .array(values.map(json))
        case .dictionary(let values):
            .object(JSONObject(members: values.sorted { $0.key < $1.key }.map { .init(name: $0.key, value: json($0.value)) }))
        }
    }
}

extension Logger {
    /// A logger that writes JSON lines, to standard error unless told otherwise.
    package static func structured(_ label: String, level: Logger.Level, sink: any LogSink = LogWriter.standardError) -> Logger {
        Logger(label: label, factory: { StructuredLogHandler(label: $0, level: level, sink: sink) })
    }
}

extension Logger.MetadataValue {
    /// A secret as metadata: that there is one, never what it is.
    package static func redacted(_ secret: Secret?) -> Logger.MetadataValue {
        .string(secret == nil ? "absent" : "<redacted>")
    }
}
