import Primitives

/// Finds where server-sent events end (WHATWG HTML section 9.2.5: a blank line; lines end with LF, CRLF or CR) in bytes split anywhere.
struct EventBoundary: Sendable {
    /// The current line has bytes in an earlier piece.
    private var lineHasBytes = false
    /// The last byte was a CR that ended a line: an LF right behind it belongs to the same line end.
    private(set) var followsCR = false

    /// Whether the first byte of the next piece, if it is an LF, only completes the line end that closed the last event.
    @inline(__always)
    mutating func takeLineFeed(_ base: UnsafeRawPointer, at offset: Int, limit: Int) -> Bool {
        guard followsCR, offset < limit else { return false }
        followsCR = false
        return ByteScan.byte(base, offset) == 0x0A
    }

    /// The offset behind the blank line that ends the event being read, or nil when it lies beyond `limit`. `from` is where the last call
    /// ended; `mayHoldCR` says whether there is any CR in these bytes at all.
    @inline(__always)
    mutating func endOfEvent(_ base: UnsafeRawPointer, from start: Int, limit: Int, mayHoldCR: Bool) -> Int? {
        if mayHoldCR || followsCR { return endOfEventWithCR(base, from: start, limit: limit) }
        var at = start
        while let lineFeed = ByteScan.find(0x0A, base, from: at, limit: limit) {
            let isBlank = lineFeed == at && !lineHasBytes
            lineHasBytes = false
            at = lineFeed &+ 1
            if isBlank { return at }
            // Nearly always the blank line follows at once.
            if at < limit, ByteScan.byte(base, at) == 0x0A { return at &+ 1 }
        }
        if at < limit { lineHasBytes = true }
        return nil
    }

    private mutating func endOfEventWithCR(_ base: UnsafeRawPointer, from start: Int, limit: Int) -> Int? {
        var at = start
        if takeLineFeed(base, at: at, limit: limit) { at &+= 1 }
        while at < limit {
            let lineFeed = ByteScan.find(0x0A, base, from: at, limit: limit) ?? limit
            let end = ByteScan.find(0x0D, base, from: at, limit: lineFeed) ?? lineFeed
            guard end < limit else { break }
            let isBlank = end == at && !lineHasBytes
            lineHasBytes = false
            at = end &+ 1
            if ByteScan.byte(base, end) == 0x0D {
                if at < limit {
                    if ByteScan.byte(base, at) == 0x0A { at &+= 1 }
                } else {
                    followsCR = true
                }
            }
            if isBlank { return at }
        }
        if at < limit { lineHasBytes = true }
        return nil
    }
}

/// Goes through the lines of one event.
struct EventLines {
    let base: UnsafeRawPointer
    let limit: Int
    var at: Int

    /// The next line without its end; nil behind the last.
    mutating func next() -> Range<Int>? {
        guard at < limit else { return nil }
        let start = at
        let lineFeed = ByteScan.find(0x0A, base, from: at, limit: limit) ?? limit
        let end = ByteScan.find(0x0D, base, from: at, limit: lineFeed) ?? lineFeed
        at = end &+ 1
        if end < limit, ByteScan.byte(base, end) == 0x0D, at < limit, ByteScan.byte(base, at) == 0x0A { at &+= 1 }
        return start..<end
    }

    /// The value of a `data` line: behind the colon and one space. Nil for any other line.
    @inline(__always)
    static func dataValue(_ base: UnsafeRawPointer, _ line: Range<Int>) -> Range<Int>? {
        let start = line.lowerBound
        guard line.count >= 4, base.loadUnaligned(fromByteOffset: start, as: UInt32.self).littleEndian == 0x6174_6164 else { return nil }
        if line.count == 4 { return line.upperBound..<line.upperBound }
        guard ByteScan.byte(base, start &+ 4) == 0x3A else { return nil }
        var value = start &+ 5
        if value < line.upperBound, ByteScan.byte(base, value) == 0x20 { value &+= 1 }
        return value..<line.upperBound
    }

    /// Whether the line says that the event is an error.
    static func isNamedError(_ base: UnsafeRawPointer, _ line: Range<Int>) -> Bool {
        ByteScan.equals(base, line.lowerBound, line.count, "event: error")
            || ByteScan.equals(base, line.lowerBound, line.count, "event:error")
    }

    /// Whether the data is OpenAI's mark of the end, white space behind it aside.
    static func isDone(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Bool {
        var end = end
        while end > start, isWhitespace(ByteScan.byte(base, end &- 1)) { end &-= 1 }
        return ByteScan.equals(base, start, end &- start, "[DONE]")
    }
}

enum ByteOrderMark {
    /// 3 when the UTF-8 byte order mark begins at `start`, else 0.
    @inline(__always)
    static func length(_ base: UnsafeRawPointer, _ start: Int, _ limit: Int) -> Int {
        guard limit &- start >= 3, ByteScan.byte(base, start) == 0xEF, ByteScan.byte(base, start &+ 1) == 0xBB,
            ByteScan.byte(base, start &+ 2) == 0xBF
        else { return 0 }
        return 3
    }
}
