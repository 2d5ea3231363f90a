import Primitives
import Trust

/// A DID as a request names it, read.
final class CallingDID {
    let did: DID
    /// `DID.fingerprint`.
    let fingerprint: [UInt8]
    /// What the directory knows it by.
    let name: IDBits
    /// As it was written; a `keyid` of RFC 9421 may be the URL of one of its verification methods.
    fileprivate let text: [UInt8]
    fileprivate let isURL: Bool

    fileprivate init(_ did: DID, text: [UInt8]) {
        self.did = did
        self.text = text
        isURL = text.count != did.text.utf8.count
        fingerprint = did.fingerprint
        name = Directory.name(ofDID: fingerprint)
    }
}

/// DIDs that a loop has served of late: base58, a curve's point and two digests are not worked out anew for each of a caller's requests.
/// A DID has one place here, which another one may take over; who is not registered takes none.
final class DIDMemory {
    private static let places = 1024
    /// Empty until the first is kept.
    private var kept: [CallingDID?] = []

    /// The DID of `x-did`.
    func did(_ text: UnsafeRawBufferPointer) throws(ProofProblem) -> CallingDID {
        if let known = find(text), !known.isURL { return known }
        return CallingDID(try DID(String(decoding: text, as: UTF8.self)), text: Array(text))
    }

    /// The DID of a `keyid`.
    func did(keyID: String) throws(ProofProblem) -> CallingDID {
        var text = keyID
        if let known = text.withUTF8({ find(UnsafeRawBufferPointer($0)) }) { return known }
        return CallingDID(try DID(keyID: keyID), text: Array(keyID.utf8))
    }

    /// Remembers one that is registered.
    func keep(_ did: CallingDID) {
        if kept.isEmpty { kept = Array(repeating: nil, count: Self.places) }
        let place = did.text.withUnsafeBytes { Self.place(of: $0) }
        if kept[place] !== did { kept[place] = did }
    }

    private func find(_ text: UnsafeRawBufferPointer) -> CallingDID? {
        guard !kept.isEmpty, let known = kept[Self.place(of: text)], known.text.count == text.count else { return nil }
        return known.text.withUnsafeBytes { $0.elementsEqual(text) } ? known : nil
    }

    private static func place(of text: UnsafeRawBufferPointer) -> Int { Int(CRC32.checksum(text)) & (places - 1) }
}
