import Primitives

/// What a request holds besides text: images, sound and files, which are written in it as base64 or as an address. Their bytes say little
/// about their tokens, so each is counted by a figure of its kind instead.
///
/// Knows OpenAI's parts: `image_url` (an object or a text), `input_audio` and `file_data`; and of those that name what lies elsewhere, that there
/// may be any number of tokens in it: `file_id`, `file_url`, `video_url`.
package struct MediaScan: Sendable, Equatable {
    /// Tokens of an image, as OpenAI counts them for its 4o models: at low detail, and of the largest tiling at high detail. An image whose
    /// detail is not said is taken for the latter.
    package static let lowDetailImageTokens: Int64 = 85
    package static let imageTokens: Int64 = 1_105
    /// Sound takes ten tokens a second. A second is taken for 16,000 bytes (mp3 at 128 kbit/s), and no sound for longer than 25 minutes.
    package static let audioBytesPerToken: Int64 = 1_600
    package static let maxAudioTokens: Int64 = 15_000
    /// A file's text and pages: a token for 64 bytes, and no more than a book's chapter.
    package static let fileBytesPerToken: Int64 = 64
    package static let maxFileTokens: Int64 = 20_000

    /// No model is known that takes an image for more (OpenAI's small 4o models: 2,833 and 5,667 a tile, of which there are six at most; at low
    /// detail the first alone).
    package static let worstImageTokens: Int64 = 40_000
    package static let worstLowDetailImageTokens: Int64 = 3_000
    /// What fills the windows of today's models.
    package static let worstDocumentTokens: Int64 = 1_000_000

    /// Bytes of the request that are no text.
    package private(set) var mediaBytes: Int64 = 0
    /// The tokens that stand for them.
    package private(set) var mediaTokens: Int64 = 0
    /// The most that they may be beside a token for each byte of the request: for reservations.
    package private(set) var worstTokens: Int64 = 0

    package init() {}

    /// - Parameter text: JSON that was checked before: a request's `messages` or `input`.
    package init(_ text: UnsafeRawBufferPointer) {
        guard let base = text.baseAddress else { return }
        let limit = text.count
        var at = 0
        // All three names hold an underscore, which text and base64 seldom do: one pass at memchr's pace finds out that there is nothing.
        while let hit = ByteScan.find(0x5F, base, from: at, limit: limit) {
            at = hit &+ 1
            if isName("image_url", base, hit &- 5, limit) {
                at = image(base, from: hit &+ 4, limit) ?? at
            } else if isName("input_audio", base, hit &- 5, limit) {
                at = audio(base, from: hit &+ 6, limit) ?? at
            } else if isName("file_data", base, hit &- 4, limit) {
                at = file(base, from: hit &+ 5, limit) ?? at
            } else if isName("file_id", base, hit &- 4, limit) || isName("file_url", base, hit &- 4, limit)
                || isName("video_url", base, hit &- 5, limit)
            {
                worstTokens &+= Self.worstDocumentTokens
            }
        }
    }

    /// Whether the name stands there, in quotes.
    private func isName(_ name: StaticString, _ base: UnsafeRawPointer, _ start: Int, _ limit: Int) -> Bool {
        let count = name.utf8CodeUnitCount
        guard start >= 1, start &+ count < limit, ByteScan.byte(base, start &- 1) == 0x22, ByteScan.byte(base, start &+ count) == 0x22
        else { return false }
        return ByteScan.equals(base, start, count, name)
    }

    /// A cursor at the value of the name whose closing quote is at `quote`; nil when it is no member's name.
    private func value(_ base: UnsafeRawPointer, from quote: Int, _ limit: Int) -> JSONCursor? {
        var cursor = JSONCursor(base: base, from: quote &+ 1, limit: limit, maxDepth: 32)
        cursor.skipWhitespace()
        guard cursor.current == 0x3A else { return nil }
        cursor.at &+= 1
        cursor.skipWhitespace()
        return cursor
    }

    private mutating func image(_ base: UnsafeRawPointer, from quote: Int, _ limit: Int) -> Int? {
        guard var cursor = value(base, from: quote, limit) else { return nil }
        let start = cursor.at
        var isLow = false
        if cursor.current == 0x7B {
            try? cursor.members { name, value, _, cursor throws(JSONViolation) in
                try cursor.skipValue()
                if ByteScan.equals(base, name.range.lowerBound, name.range.count, "detail") {
                    isLow = ByteScan.equals(base, value, cursor.at &- value, "\"low\"")
                }
            }
        } else {
            try? cursor.skipValue()
        }
        mediaBytes &+= Int64(max(0, cursor.at &- start))
        mediaTokens &+= isLow ? Self.lowDetailImageTokens : Self.imageTokens
        worstTokens &+= isLow ? Self.worstLowDetailImageTokens : Self.worstImageTokens
        return cursor.at
    }

    private mutating func audio(_ base: UnsafeRawPointer, from quote: Int, _ limit: Int) -> Int? {
        guard var cursor = value(base, from: quote, limit) else { return nil }
        let start = cursor.at
        try? cursor.skipValue()
        let bytes = Int64(max(0, cursor.at &- start))
        mediaBytes &+= bytes
        mediaTokens &+= min(decoded(bytes) / Self.audioBytesPerToken &+ 1, Self.maxAudioTokens)
        return cursor.at
    }

    private mutating func file(_ base: UnsafeRawPointer, from quote: Int, _ limit: Int) -> Int? {
        guard var cursor = value(base, from: quote, limit) else { return nil }
        let start = cursor.at
        try? cursor.skipValue()
        let bytes = Int64(max(0, cursor.at &- start))
        mediaBytes &+= bytes
        mediaTokens &+= min(decoded(bytes) / Self.fileBytesPerToken &+ 1, Self.maxFileTokens)
        // It may be compressed.
        worstTokens &+= Self.worstDocumentTokens
        return cursor.at
    }

    /// Base64 writes three bytes as four.
    private func decoded(_ bytes: Int64) -> Int64 { bytes / 4 &* 3 }
}
