import Formats
import Primitives

/// How the limits of a caller stand after a request, as the head of the answer says it in the caller's dialect.
struct RateStandings {
    private let standings: RateLedger.Standings
    private let dialect: Dialect
    /// Unix microseconds.
    private let now: Int64

    /// Nil where nothing is told.
    init?(_ standings: RateLedger.Standings, _ dialect: Dialect, at now: Int64) {
        guard standings.requests != nil || standings.tokens != nil else { return nil }
        self.standings = standings
        self.dialect = dialect
        self.now = now
    }

    private struct Names {
        let limit: StaticString
        let remaining: StaticString
        let reset: StaticString
    }

    private var names: (requests: Names, tokens: Names) {
        switch dialect {
        case .messages:
            (
                Names(
                    limit: "anthropic-ratelimit-requests-limit", remaining: "anthropic-ratelimit-requests-remaining",
                    reset: "anthropic-ratelimit-requests-reset"),
                Names(
                    limit: "anthropic-ratelimit-tokens-limit", remaining: "anthropic-ratelimit-tokens-remaining",
                    reset: "anthropic-ratelimit-tokens-reset")
            )
        case .openAI, .responses:
            (
                Names(
                    limit: "x-ratelimit-limit-requests", remaining: "x-ratelimit-remaining-requests", reset: "x-ratelimit-reset-requests"),
                Names(limit: "x-ratelimit-limit-tokens", remaining: "x-ratelimit-remaining-tokens", reset: "x-ratelimit-reset-tokens")
            )
        }
    }

    /// Each field's name and value; the value's bytes are valid during the call.
    func forEach(_ body: (StaticString, UnsafeRawBufferPointer) -> Void) {
        let names = names
        if let requests = standings.requests { tell(requests, names.requests, body) }
        if let tokens = standings.tokens { tell(tokens, names.tokens, body) }
    }

    private func tell(_ standing: RateLedger.Standing, _ names: Names, _ body: (StaticString, UnsafeRawBufferPointer) -> Void) {
        withUnsafeTemporaryAllocation(byteCount: 48, alignment: 8) { scratch in
            func field(_ name: StaticString, _ value: (inout HeadWriter) -> Void) {
                var writer = HeadWriter(scratch)
                value(&writer)
                body(name, UnsafeRawBufferPointer(rebasing: scratch[..<writer.count]))
            }
            field(names.limit) { $0.put(decimal: Int(standing.limit)) }
            field(names.remaining) { $0.put(decimal: Int(standing.remaining)) }
            field(names.reset) {
                if dialect == .messages {
                    $0.put(Array(RFC3339.string(milliseconds: now / 1000 &+ standing.reset / 1000 &+ 1).utf8))
                } else {
                    Self.put(duration: standing.reset, to: &$0)
                }
            }
        }
    }

    /// As OpenAI writes it, and Go reads it: `12ms`, `1.5s`, `6m0s`. Rounded up.
    static func put(duration microseconds: Int64, to out: inout HeadWriter) {
        let milliseconds = Int(max(0, microseconds / 1000 + (microseconds % 1000 > 0 ? 1 : 0)))
        if milliseconds < 1000 {
            out.put(decimal: milliseconds)
            return out.put("ms")
        }
        let (minutes, rest) = (milliseconds / 60_000, milliseconds % 60_000)
        if minutes >= 60 {
            out.put(decimal: minutes / 60)
            out.put("h")
        }
        if minutes > 0 {
            out.put(decimal: minutes % 60)
            out.put("m")
        }
        out.put(decimal: rest / 1000)
        let fraction = rest % 1000
        if fraction > 0 {
            out.put(fraction < 10 ? ".00" : fraction < 100 ? ".0" : ".")
            out.put(decimal: fraction)
        }
        out.put("s")
    }
}
