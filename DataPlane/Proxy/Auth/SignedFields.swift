import Primitives
import Trust
import Wire

/// `name=value, name="value"`: each name once, a value with or without quotation marks.
struct AuthorizationParameters {
    enum Name: Int, CaseIterable {
        case keyID, timestamp, nonce, signature

        var text: StaticString {
            switch self {
            case .keyID: "key_id"
            case .timestamp: "timestamp"
            case .nonce: "nonce"
            case .signature: "signature"
            }
        }
    }

    private var known: (Range<Int>?, Range<Int>?, Range<Int>?, Range<Int>?)
    /// Names that say nothing here.
    private var others: [Range<Int>] = []

    /// - Parameter range: of `bytes`.
    init(_ range: Range<Int>, of bytes: UnsafeRawBufferPointer) throws(ProofProblem) {
        var start = range.lowerBound
        while start < range.upperBound {
            let end = bytes[start..<range.upperBound].firstIndex(of: UInt8(ascii: ",")) ?? range.upperBound
            defer { start = end + 1 }
            if start == end { continue }
            let equals = bytes[start..<end].firstIndex(of: UInt8(ascii: "="))
            let name = Self.trimmed(start..<(equals ?? start), of: bytes)
            guard let equals, !name.isEmpty else { throw Self.malformed }
            var value = Self.trimmed(equals + 1..<end, of: bytes)
            if value.count >= 2, bytes[value.lowerBound] == UInt8(ascii: "\""), bytes[value.upperBound - 1] == UInt8(ascii: "\"") {
                value = value.lowerBound + 1..<value.upperBound - 1
            }
            try keep(name, value, of: bytes)
        }
    }

    /// - Throws: for one that is not there, and for an empty one.
    func value(_ name: Name) throws(ProofProblem) -> Range<Int> {
        let found: Range<Int>?
        switch name {
        case .keyID: found = known.0
        case .timestamp: found = known.1
        case .nonce: found = known.2
        case .signature: found = known.3
        }
        guard let found, !found.isEmpty else { throw ProofProblem("The Authorization header has no \(name.text)=….") }
        return found
    }

    private mutating func keep(_ name: Range<Int>, _ value: Range<Int>, of bytes: UnsafeRawBufferPointer) throws(ProofProblem) {
        guard let base = bytes.baseAddress else { return }
        func isNamed(_ known: Name) -> Bool { ByteScan.equals(base, name.lowerBound, name.count, known.text) }
        func once(_ place: inout Range<Int>?) throws(ProofProblem) {
            guard place == nil else { throw Self.malformed }
            place = value
        }
        if isNamed(.keyID) {
            try once(&known.0)
        } else if isNamed(.timestamp) {
            try once(&known.1)
        } else if isNamed(.nonce) {
            try once(&known.2)
        } else if isNamed(.signature) {
            try once(&known.3)
        } else {
            guard !others.contains(where: { bytes[$0].elementsEqual(bytes[name]) }) else { throw Self.malformed }
            others.append(name)
        }
    }

    private static var malformed: ProofProblem {
        ProofProblem("The Authorization header has to be: WEIR-HMAC-SHA256 key_id=…, timestamp=…, nonce=…, signature=…")
    }

    private static func trimmed(_ range: Range<Int>, of bytes: UnsafeRawBufferPointer) -> Range<Int> {
        var (start, end) = (range.lowerBound, range.upperBound)
        while start < end, bytes[start] == UInt8(ascii: " ") { start += 1 }
        while start < end, bytes[end - 1] == UInt8(ascii: " ") { end -= 1 }
        return start..<end
    }
}

/// Where the fields of a DID's signature stand, found in one pass.
struct DIDFields {
    private(set) var did, timestamp, nonce, signature: Range<Int>?
    private(set) var isRepeated = false

    init<Head: RequestHead & ~Copyable>(_ head: borrowing Head, _ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        var found = DIDFields()
        head.forEachField { field in
            let name = field.name
            func isNamed(_ text: StaticString) -> Bool { ByteScan.equalsIgnoringCase(base, name.lowerBound, name.count, text) }
            func take(_ place: inout Range<Int>?) {
                if place != nil { found.isRepeated = true }
                place = field.value
            }
            switch name.count {
            case 5 where isNamed("x-did"): take(&found.did)
            case 11 where isNamed("x-did-nonce"): take(&found.nonce)
            case 15 where isNamed("x-did-timestamp"): take(&found.timestamp)
            case 15 where isNamed("x-did-signature"): take(&found.signature)
            default: break
            }
        }
        self = found
    }

    private init() {}
}

extension RequestHead where Self: ~Copyable {
    /// The lines of a field by its lower-case name, joined as RFC 9110 §5.3 has it; nil without one.
    func text(_ name: String, _ bytes: UnsafeRawBufferPointer) -> String? {
        var found: String?
        forEachField { field in
            guard field.name.count == name.utf8.count else { return }
            let isSame = zip(bytes[field.name], name.utf8).allSatisfy { ($0 >= 65 && $0 <= 90 ? $0 | 32 : $0) == $1 }
            guard isSame else { return }
            let value = String(decoding: bytes[field.value], as: UTF8.self)
            found = found.map { $0 + ", " + value } ?? value
        }
        return found
    }

    /// Whether it claims to be signed.
    func isSigned(_ bytes: UnsafeRawBufferPointer) -> Bool { text("x-did", bytes) != nil || text("signature-input", bytes) != nil }
}
