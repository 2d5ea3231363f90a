/// How many tokens some bytes of text are likely to be, for answers whose provider does not say.
///
/// The heuristic is four bytes a token, rounded up: about right for English under the tokenizers in use, high for text in other scripts
/// that take three bytes a character and are cut finer. It is never exact, so every record made with it is flagged as estimated.
package enum TokenEstimate {
    package static let bytesPerToken: Int64 = 4

    /// Input tokens of a request, from the JSON of its messages, input or prompt; the JSON around the text is counted, too. What is no text
    /// is counted by its kind (``MediaScan``).
    /// - Parameter contextWindow: Tokens that the model takes at most: no request costs more. 0: not known.
    package static func input(_ text: UnsafeRawBufferPointer, contextWindow: Int64) -> Int64 {
        let media = MediaScan(text)
        let estimate = min(tokens(bytes: Int64(text.count) &- media.mediaBytes) &+ media.mediaTokens, UsageReading.cap)
        return contextWindow > 0 ? min(estimate, contextWindow) : estimate
    }

    /// Input tokens of a request with these members: of what is said in it, its instructions and its tools, which are most of what a coding
    /// agent sends. Of a request that says nothing, all of its bytes.
    package static func input(_ members: RequestMembers, of body: UnsafeRawBufferPointer, contextWindow: Int64) -> Int64 {
        guard let text = members.messages ?? members.prompt ?? members.input else { return input(body, contextWindow: contextWindow) }
        var tokens = input(UnsafeRawBufferPointer(rebasing: body[text]), contextWindow: contextWindow)
        for more in [members.instructions, members.tools] {
            guard let more else { continue }
            tokens = min(tokens &+ input(UnsafeRawBufferPointer(rebasing: body[more]), contextWindow: 0), UsageReading.cap)
        }
        return contextWindow > 0 ? min(tokens, contextWindow) : tokens
    }

    /// Output tokens of an answer, from the raw bytes of its text (`contentBytes` of a meter).
    /// - Parameter pieces: how many pieces of a stream the text came in. Where these are as short as tokens are, each is one: that is exact
    ///   for providers that send every token by itself. 0: it came whole.
    package static func output(contentBytes: Int64, pieces: Int64 = 0) -> Int64 {
        let (short, overflow) = pieces.multipliedReportingOverflow(by: bytesOfAShortPiece)
        guard pieces > 0, !overflow, contentBytes <= short else { return tokens(bytes: contentBytes) }
        return min(pieces, UsageReading.cap)
    }

    /// A word and its space; pieces of several tokens are longer in the mean.
    private static let bytesOfAShortPiece: Int64 = 6

    private static func tokens(bytes: Int64) -> Int64 {
        guard bytes > 0 else { return 0 }
        return min((bytes &- 1) / bytesPerToken &+ 1, UsageReading.cap)
    }
}
