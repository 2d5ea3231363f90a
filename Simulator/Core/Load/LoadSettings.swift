/// One run of the load client.
package struct LoadSettings: Sendable {
    package var host = "127.0.0.1"
    package var port = 80
    /// The request as it is sent, head and body.
    package var request: [UInt8] = []
    /// Requests that are sent once each, in this order, instead: what is signed ahead cannot be sent twice. When they are used up, the run
    /// is over.
    package var requests: [[UInt8]] = []
    /// Requests a second, begun at fixed times whether or not earlier ones are answered (open loop); 0: each connection sends its next
    /// request when the last one is answered (closed loop).
    package var rate: Double = 0
    package var connections = 64
    package var seconds: Double = 10
    /// Not measured, before the measured seconds.
    package var warmupSeconds: Double = 1
    package var loops = 1
    /// A request without an answer for this long counts as failed and its connection is closed.
    package var timeoutSeconds: Double = 30
    /// Open loop: how long requests that were due may still take to be answered after the measured seconds.
    package var graceSeconds: Double = 5

    package struct InvalidURL: Error {
        package let url: String
    }

    package init() {}

    /// Requests one behind the other, each after its length: four bytes, big-endian. Throws ``BrokenFile``.
    package static func requests(in bytes: [UInt8]) throws(BrokenFile) -> [[UInt8]] {
        var found: [[UInt8]] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let length = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            guard rest.count >= 4, length > 0, rest.count - 4 >= length else { throw BrokenFile() }
            found.append(Array(rest.dropFirst(4).prefix(length)))
            rest = rest.dropFirst(4 + length)
        }
        return found
    }

    package struct BrokenFile: Error {}

    /// A request for an `http://` URL; POST when there is a body. Throws ``InvalidURL``.
    package init(url: String, method: String?, headers: [String], body: [UInt8]) throws(InvalidURL) {
        guard url.hasPrefix("http://") else { throw InvalidURL(url: url) }
        let rest = url.dropFirst("http://".count)
        let authority = rest.prefix { $0 != "/" }
        let target = rest.dropFirst(authority.count)
        let parts = authority.split(separator: ":", omittingEmptySubsequences: false)
        guard let name = parts.first, !name.isEmpty, parts.count <= 2 else { throw InvalidURL(url: url) }
        host = String(name)
        if parts.count == 2 {
            guard let number = Int(parts[1]), (1...65_535).contains(number) else { throw InvalidURL(url: url) }
            port = number
        }
        let verb = method ?? (body.isEmpty ? "GET" : "POST")
        var head = "\(verb) \(target.isEmpty ? "/" : String(target)) HTTP/1.1\r\nhost: \(authority)\r\n"
        for header in headers { head += header + "\r\n" }
        if !body.isEmpty { head += "content-type: application/json\r\ncontent-length: \(body.count)\r\n" }
        request = Array((head + "\r\n").utf8) + body
    }
}

/// What a run measured. Durations in nanoseconds.
package struct LoadReport: Sendable {
    /// From the moment a request was due, so that a stall counts for every request that it held up (no coordinated omission).
    package var latency = LatencyHistogram()
    /// From the moment a request was sent.
    package var service = LatencyHistogram()
    /// From the moment a request was due to the first byte of the answer's head.
    package var firstByte = LatencyHistogram()
    package var statuses: [Int: Int] = [:]
    /// Answers whose stream ended with `data: [DONE]`.
    package var streamsDone = 0
    /// Server-sent events.
    package var events = 0
    package var bytes = 0
    /// Connections refused or closed in the middle of an answer, and answers that were not HTTP.
    package var failures = 0
    package var timeouts = 0
    /// Due within the measured seconds and not answered by the end of the grace time; their latency up to then is counted.
    package var unfinished = 0
    package var measuredSeconds: Double = 0

    package init() {}

    package var answered: Int { statuses.values.reduce(0, +) }
    package var requestsPerSecond: Double { measuredSeconds > 0 ? Double(answered) / measuredSeconds : 0 }

    mutating func merge(_ other: LoadReport) {
        latency.merge(other.latency)
        service.merge(other.service)
        firstByte.merge(other.firstByte)
        statuses.merge(other.statuses, uniquingKeysWith: +)
        streamsDone += other.streamsDone
        events += other.events
        bytes += other.bytes
        failures += other.failures
        timeouts += other.timeouts
        unfinished += other.unfinished
        measuredSeconds = max(measuredSeconds, other.measuredSeconds)
    }

    package var json: String {
        func histogram(_ histogram: LatencyHistogram) -> String {
            let percents = [("p50", 50.0), ("p90", 90), ("p99", 99), ("p999", 99.9)]
            let points = percents.map { "\"\($0.0)_us\":\(histogram.percentile($0.1) / 1000)" }
            let mean = Int(histogram.meanNanoseconds / 1000)
            return "{" + points.joined(separator: ",") + ",\"max_us\":\(histogram.maximumNanoseconds / 1000),\"mean_us\":\(mean)}"
        }
        let codes = statuses.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",")
        var text = "{\"requests_per_second\":\(Int(requestsPerSecond)),\"answered\":\(answered),\"statuses\":{\(codes)},"
        text += "\"failures\":\(failures),\"timeouts\":\(timeouts),\"unfinished\":\(unfinished),\"events\":\(events),"
        text += "\"streams_done\":\(streamsDone),\"bytes\":\(bytes),\"seconds\":\(measuredSeconds),"
        text += "\"latency\":\(histogram(latency)),\"service\":\(histogram(service)),\"first_byte\":\(histogram(firstByte))}"
        return text
    }

    package var text: String {
        func line(_ name: String, _ histogram: LatencyHistogram) -> String {
            let points = [50.0, 90, 99, 99.9].map { "p\($0) \(histogram.percentile($0) / 1000) us" }
            return "\(name): " + points.joined(separator: ", ") + ", max \(histogram.maximumNanoseconds / 1000) us\n"
        }
        let codes = statuses.sorted { $0.key < $1.key }.map { "\($0.value) × \($0.key)" }.joined(separator: ", ")
        var text = "\(Int(requestsPerSecond)) requests/s over \(measuredSeconds) s: \(codes)\n"
        text += "failures \(failures), timeouts \(timeouts), unfinished \(unfinished), events \(events), streams to [DONE] \(streamsDone)\n"
        text += line("latency from due time", latency) + line("latency from sending", service) + line("first byte", firstByte)
        return text
    }
}
