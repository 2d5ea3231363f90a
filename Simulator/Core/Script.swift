/// How the simulator answers one request, as its model's name says.
///
/// The name is `sim` followed by words, each set off by `-` or `.`; a word is letters and, for some, a number:
/// `sim-in120-out64`, `sim-chunks64-pace5ms`, `sim.status429.retry3`. Durations take `us`, `ms` (the default) or `s`.
///
/// | word | meaning |
/// |---|---|
/// | `ok` | nothing; for a name that needs a word |
/// | `inN` `outN` `cachedN` `cachewriteN` `reasoningN` | tokens stated in usage (9, 8, 0, 0, 0); cached is part of in, reasoning of out |
/// | `chunksN` | content chunks of a stream (as many as output tokens, at most 256) |
/// | `sizeN` | bytes of text in each chunk (6) |
/// | `delayD` | wait before the head of the answer |
/// | `paceD` | wait between chunks |
/// | `burstN` | chunks in one write when nothing paces them (all) |
/// | `split` | each byte is a write of its own |
/// | `dimN` | dimensions of an embedding (8) |
/// | `statusN` | answer this status with an error body; `retryN`: with `retry-after: N`; `everyN`: only every Nth request gets it |
/// | `flakyN` | N percent, by the seed, answer 503 before anything else; `flakyresetN`: N percent reset the connection |
/// | `stall` | accept and never answer |
/// | `stallafterN` | say nothing more after N chunks |
/// | `dieN` | close after N chunks |
/// | `reset` | reset the connection instead of answering |
/// | `close` | `connection: close` after the answer |
/// | `eof` | a body that ends with the connection, without length or chunks |
/// | `nousage` `usagenull` `usageempty` | usage left out, null, `{}` |
/// | `usageneg` `usagetext` `usagehuge` `usagefloat` | usage negative, as text, absurd, with a fraction |
/// | `usagetwice` | usage stated twice, the second time right |
/// | `usageonlastchunk` | usage on the chunk that carries `finish_reason`, no chunk of its own |
/// | `nodone` | a stream without `[DONE]` |
/// | `comments` | SSE comments between the events |
/// | `crlf` | SSE lines end in CR LF |
/// | `slowbody[D]` | the body a byte at a time, every second or every D |
/// | `endless` | the answer never ends |
/// | `gigabyte` | 1 GiB of body |
/// | `lineN` | one event (or the content) has N KiB more text |
/// | `badjson` `badchunk` `badhead` | broken JSON, a broken chunk size, a broken head |
/// | `bigheadN` | N KiB of extra header fields |
/// | `errormidN` | an SSE error event after N chunks (half of them), then the end |
package struct Script: Hashable, Sendable {
    package enum Usage: String, Hashable, Sendable {
        case right, absent, null, negative, text, huge, fraction, twice, empty, onLastChunk

        /// Whether a reader who takes what is stated has exact counts.
        package var isExact: Bool { self == .right || self == .twice || self == .onLastChunk }
    }

    package var inputTokens: Int64 = 9
    package var outputTokens: Int64 = 8
    package var cachedTokens: Int64 = 0
    package var cacheWriteTokens: Int64 = 0
    package var reasoningTokens: Int64 = 0
    package var chunks = 8
    package var chunkTextBytes = 6
    package var delayMicroseconds: Int64 = 0
    package var paceMicroseconds: Int64 = 0
    /// Chunks a write; 0: all in one.
    package var burst = 0
    package var splitsBytes = false
    package var dimensions = 8
    package var status = 200
    package var retryAfterSeconds: Int64?
    /// With a status: only every Nth request is answered with it.
    package var errorEvery: UInt64 = 1
    package var flakyPercent: UInt64 = 0
    package var flakyResetPercent: UInt64 = 0
    package var stalls = false
    package var stallAfter: Int?
    package var dieAfter: Int?
    package var resets = false
    package var closes = false
    package var endsWithConnection = false
    package var usage = Usage.right
    package var sendsDone = true
    package var sendsComments = false
    package var endsLinesInCRLF = false
    package var slowBodyMicroseconds: Int64 = 0
    package var isEndless = false
    package var isGigabyte = false
    package var extraTextKiB = 0
    package var breaksJSON = false
    package var breaksChunk = false
    package var breaksHead = false
    package var extraHeadKiB = 0
    package var errorMidAfter: Int?

    package init() {}

    /// Nil for a name that is not of the grammar: the caller is told that there is no such model.
    package init?(model: String) {
        let words = model.split(omittingEmptySubsequences: false) { $0 == "-" || $0 == "." }
        guard words.first == "sim", words.count > 1 else { return nil }
        var sawChunks = false
        var sawOutput = false
        var errorMid: Int?
        for word in words.dropFirst() {
            let letters = word.prefix { $0.isLetter }
            let rest = word.dropFirst(letters.count)
            guard let argument = Argument(rest) else { return nil }
            let count = argument.count
            switch (letters, count) {
            case ("ok", nil): break
            case ("in", let n?): inputTokens = n
            case ("out", let n?):
                outputTokens = n
                sawOutput = true
            case ("cached", let n?): cachedTokens = n
            case ("cachewrite", let n?): cacheWriteTokens = n
            case ("reasoning", let n?): reasoningTokens = n
            case ("chunks", let n?) where n <= 1_000_000:
                chunks = Int(n)
                sawChunks = true
            case ("size", let n?) where n >= 1 && n <= 65_536: chunkTextBytes = Int(n)
            case ("delay", _): delayMicroseconds = argument.microseconds
            case ("pace", _): paceMicroseconds = argument.microseconds
            case ("burst", let n?) where n <= 1_000_000: burst = Int(n)
            case ("split", nil): splitsBytes = true
            case ("dim", let n?) where n <= 4096: dimensions = Int(n)
            case ("status", let n?) where n >= 200 && n <= 599: status = Int(n)
            case ("retry", let n?): retryAfterSeconds = n
            case ("every", let n?) where n >= 1: errorEvery = UInt64(n)
            case ("flaky", let n?) where n <= 100: flakyPercent = UInt64(n)
            case ("flakyreset", let n?) where n <= 100: flakyResetPercent = UInt64(n)
            case ("stall", nil): stalls = true
            case ("stallafter", let n?): stallAfter = Int(n)
            case ("die", let n?): dieAfter = Int(n)
            case ("reset", nil): resets = true
            case ("close", nil): closes = true
            case ("eof", nil): endsWithConnection = true
            case ("nousage", nil): usage = .absent
            case ("usagenull", nil): usage = .null
            case ("usageneg", nil): usage = .negative
            case ("usagetext", nil): usage = .text
            case ("usagehuge", nil): usage = .huge
            case ("usagefloat", nil): usage = .fraction
            case ("usagetwice", nil): usage = .twice
            case ("usageempty", nil): usage = .empty
            case ("usageonlastchunk", nil): usage = .onLastChunk
            case ("nodone", nil): sendsDone = false
            case ("comments", nil): sendsComments = true
            case ("crlf", nil): endsLinesInCRLF = true
            case ("slowbody", nil): slowBodyMicroseconds = 1_000_000
            case ("slowbody", _): slowBodyMicroseconds = max(1, argument.microseconds)
            case ("endless", nil): isEndless = true
            case ("gigabyte", nil): isGigabyte = true
            case ("line", let n?) where n <= 65_536: extraTextKiB = Int(n)
            case ("badjson", nil): breaksJSON = true
            case ("badchunk", nil): breaksChunk = true
            case ("badhead", nil): breaksHead = true
            case ("bighead", let n?) where n <= 4096: extraHeadKiB = Int(n)
            case ("errormid", nil): errorMid = -1
            case ("errormid", let n?): errorMid = Int(n)
            default: return nil
            }
        }
        if sawChunks && !sawOutput { outputTokens = Int64(chunks) }
        if sawOutput && !sawChunks { chunks = Int(min(outputTokens, 256)) }
        if let errorMid { errorMidAfter = errorMid < 0 ? chunks / 2 : errorMid }
        cachedTokens = min(cachedTokens, inputTokens)
        reasoningTokens = min(reasoningTokens, outputTokens)
    }

    /// The same script for a request that asked for at most `maximum` output tokens.
    package func limited(toOutputTokens maximum: Int64) -> Script {
        guard maximum >= 0, maximum < outputTokens else { return self }
        var limited = self
        limited.outputTokens = maximum
        limited.reasoningTokens = min(reasoningTokens, maximum)
        limited.chunks = Int(min(Int64(chunks), maximum))
        return limited
    }
}

/// What stands behind a word's letters: nothing, a count, or a duration.
private struct Argument {
    /// Nil when there is none or it has a unit.
    let count: Int64?
    let microseconds: Int64

    init?(_ text: Substring) {
        guard !text.isEmpty else {
            count = nil
            microseconds = 0
            return
        }
        let digits = text.prefix { ("0"..."9").contains($0) }
        // Ten digits are enough for every word and keep the arithmetic below from overflowing.
        guard !digits.isEmpty, digits.count <= 10, let value = Int64(digits) else { return nil }
        switch text.dropFirst(digits.count) {
        case "":
            count = value
            microseconds = value * 1000
        case "us":
            count = nil
            microseconds = value
        case "ms":
            count = nil
            microseconds = value * 1000
        case "s":
            count = nil
            microseconds = value * 1_000_000
        default: return nil
        }
    }
}
