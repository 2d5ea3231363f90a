import Logging
import Primitives
import Telemetry
import Testing

@Suite("Structured log")
struct LogTests {
    private func logged(_ body: (Logger) -> Void) throws -> [JSONValue] {
        let sink = CapturingSink()
        body(Logger.structured("test", level: .info, sink: sink))
        return try sink.lines.map { line in
            #expect(line.hasSuffix("\n"))
            #expect(!line.dropLast().contains("\n"))
            return try JSONValue(parsing: line)
        }
    }

    @Test("a message with line breaks stays one line and forges nothing")
    func newlines() throws {
        let lines = try logged { $0.info("a\n{\"level\":\"error\"}\r\u{0}\u{1B}[31m", metadata: ["k": "v\nw"]) }
        #expect(lines.count == 1)
        #expect(lines.first?["message"] == "a\n{\"level\":\"error\"}\r\u{0}\u{1B}[31m")
        #expect(lines.first?["k"] == "v\nw")
        #expect(lines.first?["level"] == "info")
    }

    @Test("metadata cannot take the place of the fields of the line")
    func reserved() throws {
        let lines = try logged { $0.warning("m", metadata: ["level": "fake", "n": .stringConvertible(7)]) }
        #expect(lines.first?["level"] == "warning")
        #expect(lines.first?["metadata.level"] == "fake")
        #expect(lines.first?["n"] == 7)
    }

    @Test("what is below the level is not written")
    func level() throws {
        #expect(try logged { $0.debug("quiet") }.isEmpty)
    }

    @Test("secrets are redacted")
    func secrets() throws {
        let secret = Secret("sk-very-secret-value")
        let lines = try logged { $0.info("m", metadata: ["a": .redacted(secret), "b": "\(secret)", "c": .redacted(nil)]) }
        #expect(lines.first?["a"] == "<redacted>")
        #expect(lines.first?["b"] == "<redacted>")
        #expect(lines.first?["c"] == "absent")
    }
}

@Suite("Trace context")
struct TraceContextTests {
    @Test("a header reads and writes back")
    func roundTrip() throws {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        let context = try #require(TraceContext(traceparent: text))
        #expect(context.sampled)
        #expect(context.traceparent == text)
        var generator = SeededGenerator(seed: 1)
        let child = context.child(using: &generator)
        #expect(child.traceID == context.traceID)
        #expect(child.parentID != context.parentID)
        let fresh = TraceContext.random(sampled: false, using: &generator)
        #expect(TraceContext(traceparent: fresh.traceparent) == fresh)
    }

    @Test(
        "what the specification says to ignore is ignored",
        arguments: [
            "", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01", "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ])
    func ignored(text: String) {
        #expect(TraceContext(traceparent: text) == nil)
    }

    @Test("a later version is read by its first fields")
    func laterVersion() {
        #expect(TraceContext(traceparent: "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more") != nil)
    }
}
