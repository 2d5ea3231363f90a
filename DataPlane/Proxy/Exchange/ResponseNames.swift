import Contract
import Formats
import Primitives
import Trust

/// Puts the names by which a tenant knows its responses in the place of the provider's ids, in an answer by Responses as it passes; all else stays
/// byte for byte. In a stream the response's id is known from the first event on, and is looked for as a whole JSON string: no text of a model's
/// stands so in an event, whose quotes are escaped there.
final class ResponseNames {
    private let ids: ResourceIDs
    /// In whose account the responses are.
    private let place: ResourceIDs.Place
    private let tenant: [UInt8]
    /// Of a stream.
    private var guards: [SecretGuard] = []
    private(set) var hasLearnt = false

    /// - Parameter previous: the provider's id of the response that the answer goes on from.
    init(_ ids: ResourceIDs, of candidate: Candidate, tenant: [UInt8], previous: [UInt8]?) {
        self.ids = ids
        self.tenant = tenant
        place = ResourceIDs.Place(endpointID: candidate.endpoint.id, credentialID: candidate.credential?.id ?? "", id: [])
        if let previous { look(for: previous) }
    }

    /// Nil for an id that no name can be made of: it stays what it is, and nobody can ask for it.
    func name(of id: some Collection<UInt8>) -> [UInt8]? {
        ids.name(of: place.beside(id: Array(id)), .response, tenant: tenant).map { Array($0.utf8) }
    }

    /// A whole document.
    func document(_ body: [UInt8]) -> [UInt8] {
        let edits = ResponseIDs.places(in: body).compactMap { range in
            name(of: body[range]).map { SpliceEdit(range: range, replacement: $0) }
        }
        var named: [UInt8] = []
        let isDone = body.withUnsafeBytes { Splice.append(edits, to: $0, into: &named) }
        return isDone ? named : body
    }

    // MARK: A stream

    /// The stream's own response has this id.
    func learn(_ id: [UInt8]) {
        hasLearnt = true
        look(for: id)
    }

    private func look(for id: [UInt8]) {
        guard let name = name(of: id), let pattern = SecretPattern(bytes: Self.quoted(id)) else { return }
        guards.append(SecretGuard(pattern, replacement: Self.quoted(name)))
    }

    private static func quoted(_ text: [UInt8]) -> [UInt8] { [UInt8(ascii: "\"")] + text + [UInt8(ascii: "\"")] }

    /// - Returns: what can be passed on of the piece and what was held back before it; nil: the piece as it is.
    func pass(_ piece: UnsafeRawBufferPointer) -> [UInt8]? {
        guards.allSatisfy { $0.isClean(piece) } ? nil : named(Array(piece), isLast: false)
    }

    /// Nothing follows.
    func finish() -> [UInt8] { named([], isLast: true) }

    private func named(_ piece: [UInt8], isLast: Bool) -> [UInt8] {
        var passed = piece
        for index in guards.indices {
            var next: [UInt8] = []
            passed.withUnsafeBytes { guards[index].pass($0) { next.append(contentsOf: $0) } }
            if isLast { guards[index].finish { next.append(contentsOf: $0) } }
            passed = next
        }
        return passed
    }
}

extension Admission {
    /// What the answer of this candidate has to be named by; nil where it is not kept, or is none of Responses.
    func names(for candidate: Candidate) -> ResponseNames? {
        guard candidate.endpoint.keepsResponses, candidate.dialect == .responses, candidate.translated == nil,
            members.store?.value != false,
            capability == .chat || capability == .storedResponses, let ids = snapshot.credentials.resourceIDs
        else { return nil }
        return ResponseNames(ids, of: candidate, tenant: caller.tenant.idBytes, previous: previous?.id)
    }
}
