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
/// | `statusN` | answer this status with an error body (204: without one); `everyN`: only every Nth request gets it; `firstN`: only the first N of the model |
/// | `retryN` `retrydecN` `retrydateN` `retrymsN` | with `retry-after`: N seconds, N tenths as a decimal, a date N seconds ahead; `retry-after-ms` |
/// | `quota` `moderation` `scope` | the error is `insufficient_quota`, about flagged input, about a missing scope |
/// | `leak` | errors name an address, a host and the credential that the request came with |
/// | `noopts400` `noopts422` | refuse a request that asks for usage in the stream, in OpenAI's or FastAPI's words |
/// | `flakyN` | N percent, by the seed, answer 503 before anything else; `flakyresetN`: N percent reset the connection |
/// | `stall` | accept and never answer |
/// | `stallafterN` | say nothing more after N chunks |
/// | `dieN` | close after N chunks |
/// | `dieinsideN` | close in the middle of the event behind N chunks |
/// | `reset` | reset the connection instead of answering |
/// | `hangup` | close the connection instead of answering, after `delayD` |
/// | `interimN` | N answers of status 103 before the answer |
/// | `empty` | a stream without an event, a document without a byte |
/// | `errorfirst[N]` | status 200 whose first event, or whose body, is an error with the code N (429) |
/// | `alwaysstream` | a stream also for a request that did not ask for one |
/// | `html` | status 200 and a page |
/// | `gzip` `deflate` | compressed, whatever was asked for |
/// | `typejson` `typendjson` `typeplain` `typenone` | labelled as that, or not at all |
/// | `close` | `connection: close` after the answer |
/// | `eof` | a body that ends with the connection, without length or chunks |
/// | `nousage` `usagenull` `usageempty` | usage left out, null, `{}` |
/// | `usageneg` `usagetext` `usagehuge` `usagefloat` | usage negative, as text, absurd, with a fraction |
/// | `usagetwice` | usage stated twice, the second time right |
/// | `usageonlastchunk` | usage on the chunk that carries `finish_reason`, no chunk of its own |
/// | `usageinchoice` `usagevendor` | usage in the last chunk's choice, in `x_groq`; asked for or not |
/// | `costN` | usage states a cost of N millionths of a dollar, as OpenRouter does |
/// | `usagedeepseek` `usagetopcached` | cached tokens as hits and misses, as a member beside the counts |
/// | `usagexai` | reasoning beside the completion's count, not inside |
/// | `usagezeroprompt` | zero for the prompt |
/// | `usageafterdone` | wrong usage (1, 1), `[DONE]`, one more chunk, then the right usage |
/// | `choicesnull` | `"choices":null` in the usage chunk |
/// | `nodone` | a stream without `[DONE]` |
/// | `staysopen` | say nothing more after `[DONE]`, and do not end |
/// | `comments` | SSE comments between the events |
/// | `crlf` | SSE lines end in CR LF |
/// | `slowbody[D]` | the body a byte at a time, every second or every D |
/// | `endless` | the answer never ends |
/// | `gigabyte` | 1 GiB of body |
/// | `lineN` | one event (or the content) has N KiB more text |
/// | `badjson` `badchunk` `badhead` | broken JSON, a broken chunk size, a broken head |
/// | `bigheadN` | N KiB of extra header fields |
/// | `cachehourN` | tokens of `cachewriteN` that stay for an hour (Messages) |
/// | `kept` | responses are kept: they can be fetched, deleted and gone on from, with the credential that made them |
/// | `strict` | refuse what OpenAI's API refuses of a chat with tools, as `callN` does; Messages are always read so |
/// | `callN` | a request with tools is answered with N calls of the first one, unless its last message answers calls |
/// | `pauseturn` `refusal` | the answer ends for that reason (Messages) |
/// | `azure` | the first chunk has no choices, and there are results of content filters, as at Azure |
/// | `openrouter` | comments, usage unasked, errors with `finish_reason`, `x-generation-id`, as at OpenRouter |
/// | `pings` | a `ping` between the events (Messages) |
/// | `errormidN` | an SSE error event after N chunks (half of them), then the end |
package struct Script: Hashable, Sendable {
    package enum Usage: String, Hashable, Sendable {
        case right, absent, null, negative, text, huge, fraction, twice, empty, onLastChunk
        case inChoice, vendor, deepSeek, topCached, xAI, zeroPrompt, afterDone

        /// Whether a reader who takes what is stated has exact counts.
        package var isExact: Bool {
            switch self {
            case .right, .twice, .onLastChunk, .inChoice, .vendor, .deepSeek, .topCached, .xAI, .afterDone: true
            case .absent, .null, .negative, .text, .huge, .fraction, .empty, .zeroPrompt: false
            }
        }

        /// Whether a stream states it without having been asked to.
        package var isVolunteered: Bool { self == .inChoice || self == .vendor }
    }

    package enum ErrorKind: String, Hashable, Sendable { case common, quota, moderation, scope }
    package enum Label: String, Hashable, Sendable { case right, json, ndjson, plain, absent }
    package enum Compression: String, Hashable, Sendable { case gzip, deflate }

    package enum RetryAfter: Hashable, Sendable {
        case seconds(Int64)
        case tenths(Int64)
        case dateInSeconds(Int64)
        case milliseconds(Int64)
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
    package var retryAfter: RetryAfter?
    package var errorKind = ErrorKind.common
    package var leaks = false
    /// With a status: only every Nth request is answered with it.
    package var errorEvery: UInt64 = 1
    /// With a status: only the first N requests to the model are answered with it; 0: all.
    package var errorFirstRequests: UInt64 = 0
    /// The status that a request for usage in the stream is refused with.
    package var usageRequestStatus: Int?
    package var flakyPercent: UInt64 = 0
    package var flakyResetPercent: UInt64 = 0
    package var stalls = false
    package var stallAfter: Int?
    package var dieAfter: Int?
    package var dieInside: Int?
    package var resets = false
    package var hangsUp = false
    package var interimHeads = 0
    package var isEmpty = false
    /// The code of an error in an answer of status 200.
    package var errorFirstCode: Int?
    package var alwaysStreams = false
    package var isPage = false
    package var compression: Compression?
    package var label = Label.right
    package var nullsChoices = false
    package var staysOpen = false
    package var closes = false
    package var endsWithConnection = false
    package var usage = Usage.right
    /// Millionths of a dollar that usage states; nil: it states none.
    package var costMicros: Int64?
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
    package var cacheHourTokens: Int64 = 0
    package var calls = 0
    /// Responses are kept.
    package var keeps = false
    /// Why a Messages answer ended, in place of what its content says.
    package var stopReason: String?
    package var sendsPings = false
    package var isAzure = false
    package var isOpenRouter = false

    package init() {}

    /// The answer depends on the request's credential or on the time: it is not kept for the next request.
    var isMadeAnew: Bool {
        if case .dateInSeconds? = retryAfter { return true }
        return leaks
    }

    /// What a request gets that `firstN` and `everyN` spare.
    var sound: Script {
        var sound = self
        sound.status = 200
        sound.retryAfter = nil
        sound.stalls = false
        sound.resets = false
        sound.hangsUp = false
        sound.isEmpty = false
        sound.isPage = false
        sound.errorFirstCode = nil
        sound.dieAfter = nil
        sound.dieInside = nil
        return sound
    }

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
            case ("cost", let n?): costMicros = n
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
            case ("retry", let n?): retryAfter = .seconds(n)
            case ("retrydec", let n?): retryAfter = .tenths(n)
            case ("retrydate", let n?): retryAfter = .dateInSeconds(n)
            case ("retryms", let n?): retryAfter = .milliseconds(n)
            case ("quota", nil): errorKind = .quota
            case ("moderation", nil): errorKind = .moderation
            case ("scope", nil): errorKind = .scope
            case ("leak", nil): leaks = true
            case ("noopts", let n?) where n == 400 || n == 422: usageRequestStatus = Int(n)
            case ("every", let n?) where n >= 1: errorEvery = UInt64(n)
            case ("first", let n?) where n >= 1: errorFirstRequests = UInt64(n)
            case ("flaky", let n?) where n <= 100: flakyPercent = UInt64(n)
            case ("flakyreset", let n?) where n <= 100: flakyResetPercent = UInt64(n)
            case ("stall", nil): stalls = true
            case ("stallafter", let n?): stallAfter = Int(n)
            case ("die", let n?): dieAfter = Int(n)
            case ("dieinside", let n?): dieInside = Int(n)
            case ("reset", nil): resets = true
            case ("hangup", nil): hangsUp = true
            case ("interim", let n?) where n <= 100_000: interimHeads = Int(n)
            case ("empty", nil): isEmpty = true
            case ("errorfirst", nil): errorFirstCode = 429
            case ("errorfirst", let n?) where n >= 400 && n <= 599: errorFirstCode = Int(n)
            case ("alwaysstream", nil): alwaysStreams = true
            case ("html", nil): isPage = true
            case ("gzip", nil): compression = .gzip
            case ("deflate", nil): compression = .deflate
            case ("typejson", nil): label = .json
            case ("typendjson", nil): label = .ndjson
            case ("typeplain", nil): label = .plain
            case ("typenone", nil): label = .absent
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
            case ("usageinchoice", nil): usage = .inChoice
            case ("usagevendor", nil): usage = .vendor
            case ("usagedeepseek", nil): usage = .deepSeek
            case ("usagetopcached", nil): usage = .topCached
            case ("usagexai", nil): usage = .xAI
            case ("usagezeroprompt", nil): usage = .zeroPrompt
            case ("usageafterdone", nil): usage = .afterDone
            case ("choicesnull", nil): nullsChoices = true
            case ("nodone", nil): sendsDone = false
            case ("staysopen", nil): staysOpen = true
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
            case ("cachehour", let n?): cacheHourTokens = n
            case ("kept", nil): keeps = true
            case ("call", let n?) where n <= 64: calls = Int(n)
            case ("strict", nil): break
            case ("pauseturn", nil): stopReason = "pause_turn"
            case ("refusal", nil): stopReason = "refusal"
            case ("azure", nil): isAzure = true
            case ("openrouter", nil):
                isOpenRouter = true
                sendsComments = true
            case ("pings", nil): sendsPings = true
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
