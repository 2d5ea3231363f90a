import Primitives

/// A secret made ready to be looked for in much text.
package struct SecretPattern: Sendable, Equatable {
    /// Shorter secrets are not looked for in answers: they may be words (`EMPTY`, `none`), and an answer's text is the model's. In errors they
    /// are hidden whatever their length (``HiddenTexts``).
    package static let minBytes = 16

    let bytes: [UInt8]
    /// The place of the secret's byte that is rarest in text: looking for it passes most text at memchr's pace.
    let anchor: Int

    /// Nil for a secret that is too short to be told from text.
    package init?(_ secret: String) {
        let bytes = Array(secret.utf8)
        guard bytes.count >= Self.minBytes else { return nil }
        self.init(bytes: bytes)
    }

    /// Any bytes that are looked for, of whatever length; nil for none.
    package init?(bytes: [UInt8]) {
        guard let anchor = bytes.indices.min(by: { Self.frequency(bytes[$0]) < Self.frequency(bytes[$1]) }) else { return nil }
        self.bytes = bytes
        self.anchor = anchor
    }

    /// How often a byte stands in JSON that holds text in a language of Latin letters, roughly.
    private static func frequency(_ byte: UInt8) -> Int {
        switch byte {
        case UInt8(ascii: "J"), UInt8(ascii: "K"), UInt8(ascii: "Q"), UInt8(ascii: "X"), UInt8(ascii: "Z"): 0
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): 1
        case UInt8(ascii: "0")...UInt8(ascii: "9"): 2
        case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "q"), UInt8(ascii: "x"), UInt8(ascii: "z"), UInt8(ascii: "j"): 3
        default: 4
        }
    }
}

/// Keeps the credential that was sent to a provider out of what the provider's answer brings to the caller, also where it is cut between
/// two pieces. It is masked by as many stars, so that a length announced before stays true; all other bytes pass as they are. What else must not
/// reach the caller can have another text put in its place.
package struct SecretGuard: Sendable {
    private let pattern: SecretPattern
    private let replacement: [UInt8]?
    /// The end of what has come that may be the beginning of the secret.
    private var held: [UInt8] = []
    /// The secret was in the answer.
    package private(set) var hasMasked = false

    /// - Parameter replacement: nil: as many stars.
    package init(_ pattern: SecretPattern, replacement: [UInt8]? = nil) {
        self.pattern = pattern
        self.replacement = replacement
    }

    /// Whether the next piece can be passed on as it is, as nearly every one can. Neither holds nor masks anything.
    package func isClean(_ piece: UnsafeRawBufferPointer) -> Bool {
        guard held.isEmpty else { return false }
        guard let base = piece.baseAddress else { return true }
        return find(base, from: 0, limit: piece.count) == nil && begun(base, piece.count) == 0
    }

    /// Hands on the piece, and what was held back before it, in stretches that are valid during the call only.
    package mutating func pass(_ piece: UnsafeRawBufferPointer, emit: (UnsafeRawBufferPointer) -> Void) {
        guard !held.isEmpty else { return scan(piece, emit) }
        var joined: [UInt8] = []
        swap(&joined, &held)
        joined.append(contentsOf: piece)
        joined.withUnsafeBytes { scan($0, emit) }
    }

    /// Nothing follows.
    package mutating func finish(emit: (UnsafeRawBufferPointer) -> Void) {
        guard !held.isEmpty else { return }
        held.withUnsafeBytes(emit)
        held = []
    }

    private mutating func scan(_ bytes: UnsafeRawBufferPointer, _ emit: (UnsafeRawBufferPointer) -> Void) {
        guard let base = bytes.baseAddress else { return }
        var at = 0
        while let match = find(base, from: at, limit: bytes.count) {
            if match > at { emit(UnsafeRawBufferPointer(start: base + at, count: match &- at)) }
            (replacement ?? [UInt8](repeating: UInt8(ascii: "*"), count: pattern.bytes.count)).withUnsafeBytes(emit)
            hasMasked = true
            at = match &+ pattern.bytes.count
        }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[at...])
        let tail = rest.baseAddress.map { begun($0, rest.count) } ?? 0
        if tail < rest.count { emit(UnsafeRawBufferPointer(rebasing: rest.dropLast(tail))) }
        if tail > 0 { held.append(contentsOf: rest.suffix(tail)) }
    }

    /// Where the secret begins in [from, limit).
    private func find(_ base: UnsafeRawPointer, from: Int, limit: Int) -> Int? {
        let count = pattern.bytes.count
        guard limit &- from >= count else { return nil }
        var at = from &+ pattern.anchor
        let last = limit &- count &+ pattern.anchor
        while let hit = ByteScan.find(pattern.bytes[pattern.anchor], base, from: at, limit: last &+ 1) {
            if matches(base, hit &- pattern.anchor, count) { return hit &- pattern.anchor }
            at = hit &+ 1
        }
        return nil
    }

    /// How many bytes at the end are the secret's first ones, and less than all of it.
    private func begun(_ base: UnsafeRawPointer, _ limit: Int) -> Int {
        var at = max(0, limit &- pattern.bytes.count &+ 1)
        while let hit = ByteScan.find(pattern.bytes[0], base, from: at, limit: limit) {
            if matches(base, hit, limit &- hit) { return limit &- hit }
            at = hit &+ 1
        }
        return 0
    }

    private func matches(_ base: UnsafeRawPointer, _ start: Int, _ count: Int) -> Bool {
        pattern.bytes.withUnsafeBytes { secret in
            for index in 0..<count where ByteScan.byte(base, start &+ index) != secret[index] { return false }
            return true
        }
    }
}
