import Contract
import Primitives
import Storage
import SwiftProtobuf
import Trust

/// Turns a reported record into a row. A data plane's numbers rest on a provider's and on a clock that we do not own: whatever is out
/// of range is brought into it and flagged, so that no record can stop its batch, break a sum or ask for endless partitions.
struct UsageSanitiser {
    /// Ranges far beyond anything real.
    enum Limits {
        static let tokens: Int64 = 10_000_000_000
        /// A million dollars, in nano-dollars.
        static let cost: Int64 = 1_000_000_000_000_000
        /// Eleven days.
        static let durationMicroseconds: Int64 = 1_000_000_000_000
        static let bytes: Int64 = 1 << 50
        static let httpStatus: Int64 = 999
        static let attempts: Int64 = 1000
        static let identifierBytes = 128
        static let nameBytes = 256
        /// A did:jwk holds a whole key.
        static let didBytes = 512
        static let dialectBytes = 32
        /// A label's name and text.
        static let tagBytes = 330
        /// Of all tags, as they are stored.
        static let tagsBytes = 512
        static let attemptsKept = 64
        /// Records may come late by as much as an outage lasts, and early by as much as a clock is wrong.
        static let lateMicroseconds: Int64 = 400 * 86_400_000_000
        static let earlyMicroseconds: Int64 = 86_400_000_000
    }

    let dataPlaneID: String
    let incarnation: String
    let sequence: Int64
    /// Unix microseconds.
    let now: Int64

    /// Microseconds at which a record that arrives at `now` may have been admitted.
    static func times(now: Int64) -> ClosedRange<Int64> { (now &- Limits.lateMicroseconds)...(now &+ Limits.earlyMicroseconds) }

    func row(_ record: Weir_V1_UsageRecord, position: Int) -> UsageRow {
        var check = Check()
        var row = UsageRow()
        row.dataPlaneID = dataPlaneID
        row.incarnation = incarnation
        row.sequence = sequence
        row.position = Int64(position)
        row.receivedAt = now / 1000
        row.admittedAtMicroseconds = check.clamp(record.admittedAtUs, Self.times(now: now))
        row.requestID = check.requestID(record, substitute: { substitute(position: position) })
        row.traceID = record.traceID.count == 16 ? Array(record.traceID) : nil
        setParties(of: &row, record, &check)
        setOutcome(of: &row, record, &check)
        setNumbers(of: &row, record, &check)
        var flags = UsageFlags(rawValue: record.flags)
        if check.didClamp { flags.insert(.clampedAtIntake) }
        row.flags = Int64(flags.rawValue)
        return row
    }

    private func setParties(of row: inout UsageRow, _ record: Weir_V1_UsageRecord, _ check: inout Check) {
        row.tenantID = check.text(record.tenantID, Limits.identifierBytes)
        row.projectID = check.text(record.projectID, Limits.identifierBytes)
        row.keyID = check.text(record.keyID, Limits.identifierBytes)
        row.routeID = check.text(record.routeID, Limits.identifierBytes)
        row.endpointID = check.text(record.endpointID, Limits.identifierBytes)
        row.providerID = check.text(record.providerID, Limits.identifierBytes)
        row.credentialID = check.text(record.credentialID, Limits.identifierBytes)
        row.priceID = check.text(record.priceID, Limits.identifierBytes)
        row.channel = check.text(record.channel, Limits.identifierBytes)
        row.model = check.text(record.model, Limits.nameBytes)
        row.upstreamModel = check.text(record.upstreamModel, Limits.nameBytes)
        row.configVersion = check.clamp(Int64(clamping: record.configVersion), 0...Int64.max)
        row.appID = check.text(record.appID, Limits.identifierBytes)
        row.userID = check.text(record.userID, Limits.identifierBytes)
        row.ownerID = check.text(record.ownerID, Limits.identifierBytes)
        row.did = check.text(record.did, Limits.didBytes)
        row.dialect = check.text(record.dialect, Limits.dialectBytes)
        row.tags = check.tags(record.tags)
        row.attemptList = check.attempts(record)
        row.streaming = record.streaming
        row.sentUpstream = record.sentUpstream
    }

    private func setOutcome(of row: inout UsageRow, _ record: Weir_V1_UsageRecord, _ check: inout Check) {
        // Numbers of enumerations that a newer data plane knows and we do not are kept.
        row.capability = check.clamp(Int64(record.capability.rawValue), 0...1000)
        row.status = check.clamp(Int64(record.status.rawValue), 0...1000)
        row.errorOrigin = check.clamp(Int64(record.errorOrigin.rawValue), 0...1000)
        row.errorCode = check.text(record.errorCode, Limits.identifierBytes)
        row.httpStatus = check.clamp(Int64(record.httpStatus), 0...Limits.httpStatus)
        row.upstreamStatus = check.clamp(Int64(record.upstreamStatus), 0...Limits.httpStatus)
        row.attempts = check.clamp(Int64(record.attempts), 0...Limits.attempts)
    }

    private func setNumbers(of row: inout UsageRow, _ record: Weir_V1_UsageRecord, _ check: inout Check) {
        row.estimatedInputTokens = check.clamp(record.estimatedInputTokens, 0...Limits.tokens)
        row.inputTokens = check.clamp(record.inputTokens, 0...Limits.tokens)
        row.outputTokens = check.clamp(record.outputTokens, 0...Limits.tokens)
        row.cachedInputTokens = check.clamp(record.cachedInputTokens, 0...Limits.tokens)
        row.cacheWriteTokens = check.clamp(record.cacheWriteTokens, 0...Limits.tokens)
        row.reasoningTokens = check.clamp(record.reasoningTokens, 0...Limits.tokens)
        let kinds = [
            ("cache_write_hour", record.cacheWriteHourTokens), ("audio_input", record.audioInputTokens),
            ("image_input", record.imageInputTokens), ("audio_output", record.audioOutputTokens),
            ("image_output", record.imageOutputTokens), ("images", record.images), ("media_milliseconds", record.mediaMilliseconds),
            ("characters", record.characters), ("searches", record.searches),
        ].filter { $0.1 != 0 }
        var object = JSONObject(members: kinds.map { .init(name: $0.0, value: .int(check.clamp($0.1, 0...Limits.tokens))) })
        if record.serviceTier != .standard { object["service_tier"] = .string("\(record.serviceTier.tier)") }
        if !object.members.isEmpty { row.tokenKinds = JSONValue.object(object).text }
        row.costNano = check.clamp(record.costNano, 0...Limits.cost)
        row.latencyMicroseconds = check.clamp(record.latencyUs, 0...Limits.durationMicroseconds)
        row.timeToFirstByteMicroseconds = check.clamp(record.timeToFirstByteUs, 0...Limits.durationMicroseconds)
        row.requestBytes = check.clamp(record.requestBytes, 0...Limits.bytes)
        row.responseBytes = check.clamp(record.responseBytes, 0...Limits.bytes)
    }

    /// An id for a record that has none: the same each time the batch comes, different for each record.
    private func substitute(position: Int) -> [UInt8] {
        Array(SHA256Digest.of(Array("\(dataPlaneID)\u{0}\(incarnation)\u{0}\(sequence)\u{0}\(position)".utf8)).prefix(16))
    }

    private struct Check {
        var didClamp = false

        mutating func clamp(_ value: Int64, _ range: ClosedRange<Int64>) -> Int64 {
            if range.contains(value) { return value }
            didClamp = true
            return min(max(value, range.lowerBound), range.upperBound)
        }

        /// At most `limit` bytes, whole characters, without those that show nothing or turn the direction of what stands around them.
        mutating func text(_ text: String, _ limit: Int) -> String {
            var plain = text
            if plain.utf8.count <= limit, plain.withUTF8({ bytes in bytes.allSatisfy { $0 >= 0x20 && $0 < 0x7F } }) { return text }
            var kept = String.UnicodeScalarView()
            var bytes = 0
            var isWhole = true
            for scalar in text.unicodeScalars {
                guard Self.isVisible(scalar) else {
                    isWhole = false
                    continue
                }
                bytes += UTF8.width(scalar)
                if bytes > limit {
                    isWhole = false
                    break
                }
                kept.append(scalar)
            }
            if isWhole { return text }
            didClamp = true
            return String(kept)
        }

        private static func isVisible(_ scalar: Unicode.Scalar) -> Bool {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: false
            default: true
            }
        }

        /// As a JSON array.
        mutating func tags(_ tags: [String]) -> String {
            guard !tags.isEmpty else { return "" }
            let cleaned = tags.map { text($0, Limits.tagBytes) }
            let kept = UsageTags.fitting(cleaned)
            if kept.count < Set(cleaned).count { didClamp = true }
            return kept.isEmpty ? "" : JSONValue.strings(kept).text
        }

        /// The attempts by themselves, in the encoding that they came in.
        mutating func attempts(_ record: Weir_V1_UsageRecord) -> [UInt8]? {
            guard !record.attemptList.isEmpty else { return nil }
            if record.attemptList.count > Limits.attemptsKept { didClamp = true }
            var kept = Weir_V1_UsageRecord()
            kept.attemptList = record.attemptList.prefix(Limits.attemptsKept).map { attempt in
                var attempt = attempt
                attempt.errorCode = text(attempt.errorCode, Limits.identifierBytes)
                attempt.endpointID = text(attempt.endpointID, Limits.identifierBytes)
                attempt.providerID = text(attempt.providerID, Limits.identifierBytes)
                attempt.credentialID = text(attempt.credentialID, Limits.identifierBytes)
                attempt.upstreamModel = text(attempt.upstreamModel, Limits.nameBytes)
                attempt.priceID = text(attempt.priceID, Limits.identifierBytes)
                attempt.unknownFields = .init()
                return attempt
            }
            return try? kept.serializedBytes()
        }

        mutating func requestID(_ record: Weir_V1_UsageRecord, substitute: () -> [UInt8]) -> [UInt8] {
            if record.requestID.count == 16 { return Array(record.requestID) }
            didClamp = true
            return substitute()
        }
    }
}

/// Tags as records carry them.
enum UsageTags {
    /// Sorted, so that the same tags are one group of sums; those for which there is room. A key's are cut so before a data plane gets them.
    static func fitting(_ tags: [String]) -> [String] {
        var kept: [String] = []
        var bytes = 2
        for tag in Set(tags).sorted() where tag.utf8.count <= UsageSanitiser.Limits.tagBytes {
            bytes += JSONValue.string(tag).bytes.count + 1
            guard bytes <= UsageSanitiser.Limits.tagsBytes else { break }
            kept.append(tag)
        }
        return kept
    }
}
