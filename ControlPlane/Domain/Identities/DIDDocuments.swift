package import Nouns
package import Primitives
import Storage
import Trust

/// The documents of did:web, read in the background: a request never waits for one. Data planes get the keys with the directory.
///
/// A document that cannot be read leaves the keys that were read last for a day. One that says that it is gone (410), or that names no key
/// for authentication, leaves none.
package struct DIDDocuments: Sendable {
    /// How long a rotation in a document takes to be seen at most, while its host answers.
    package static let refreshMilliseconds: Int64 = 600_000
    /// For how long the keys that were read last hold when the document cannot be read any more.
    package static let keptMilliseconds: Int64 = 86_400_000
    private static let firstRetryMilliseconds: Int64 = 30_000
    private static let longestRetryMilliseconds: Int64 = 3_600_000
    private static let limits = OutboundRequest.Limits(milliseconds: 5000, bytes: DIDDocument.maximumBytes)
    private static let atOnce = 32
    private static let atOnceOfATenant = 4
    /// Rounds of one run, so that its lease outlives it.
    private static let rounds = 4

    private let domain: DomainContext
    private let outbound: any OutboundHTTP
    /// Of what administrators ask for: slow hosts of one tenant leave places for everybody else's calls.
    private let byHand = BuildLimit(8)

    package init(_ domain: DomainContext, outbound: any OutboundHTTP) {
        self.domain = domain
        self.outbound = outbound
    }

    /// Reads those that are due.
    package func readDue() async throws {
        for _ in 0..<Self.rounds where !Task.isCancelled {
            let now = domain.clock.nowMilliseconds()
            let due = try await domain.read(as: .all) { c in
                try DIDDocumentsTable.due(c, now: now, ofOneTenant: Self.atOnceOfATenant, limit: Self.atOnce)
            }
            guard !due.isEmpty else { return }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (id, did) in due { group.addTask { try await read(id, did) } }
                try await group.waitForAll()
            }
        }
    }

    /// Reads the document of one now.
    /// - Throws: `DomainError.notFound`; `.conflict` for a DID that has none. That it cannot be read is in the answer.
    package func read(_ id: DIDEntryID, by actor: Actor) async throws -> Entity<DIDContent> {
        let did = try await domain.read(as: actor.scope) { try DIDContent.present($0, id) }
        guard did.content.hasDocument else {
            throw DomainError.conflict("did", "has no document: its key is in it", remedy: "Only a did:web is read.")
        }
        try await byHand.run { try await read(id.rawValue, did.content.did) }
        return try await domain.read(as: actor.scope) { c in
            var items = [try DIDContent.present(c, id)]
            try DIDContent.observe(&items, c)
            return items.first ?? did
        }
    }

    private enum Outcome: Sendable {
        case document(DIDDocument)
        case failed(String)
        /// Its host says that there is none any more.
        case gone(String)
    }

    private func read(_ id: String, _ text: String) async throws {
        let outcome = await fetch(text)
        let now = domain.clock.nowMilliseconds()
        let changed = try await domain.write(as: .all, waking: [], taken: nil) { c -> Bool in
            guard let row = try DIDDocumentsTable.find(c, didIDs: [id])[id], let did = try DIDContent.find(c, id), did.deletedAt == nil
            else { return false }
            let next = Self.row(row, after: outcome, now: now)
            guard next.methods != row.methods else {
                try DIDDocumentsTable.put(c, next)
                return false
            }
            let change = try ChangeCounter.directory.next(c)
            try DIDDocumentsTable.put(c, next)
            try DIDDocumentsTable.touch(c, didID: id, change: change)
            func audited(_ row: DIDDocumentRow) -> JSONValue {
                ["tenant_id": .string(row.tenantID), "document_keys": .strings(DIDContent.keys(row.methods))]
            }
            try AuditLog.record(
                c, .system("did_documents"), "did.document", id: id, before: audited(row), after: audited(next), at: now)
            return true
        }
        if changed { domain.signal.raise(.directory) }
    }

    private func fetch(_ text: String) async -> Outcome {
        let did: DID
        do throws(ProofProblem) { did = try DID(text) } catch { return .failed(error.message) }
        guard case .document(let host, let path) = did.proof else { return .failed("it has no document") }
        let request = OutboundRequest(
            .get, "https://\(host)\(path)",
            headers: [("accept", Secret("application/did+json, application/did+ld+json, application/json"))], limits: Self.limits)
        let answer: OutboundAnswer
        do throws(OutboundFailure) { answer = try await outbound.send(request) } catch { return .failed(error.text) }
        switch answer.status {
        case 200: break
        case 410: return .gone("\(host) says that the document is gone (410)")
        case 300..<400: return .failed("\(host) answers with a redirect (\(answer.status)), which is not followed")
        default: return .failed("\(host) answers with the status \(answer.status)")
        }
        do throws(ProofProblem) {
            return .document(try DIDDocument(answer.body, of: did, nowMilliseconds: domain.clock.nowMilliseconds()))
        } catch {
            return .failed(error.message)
        }
    }

    private static func row(_ row: DIDDocumentRow, after outcome: Outcome, now: Int64) -> DIDDocumentRow {
        var row = row
        // Those that were registered together are not read together for ever.
        let spread = Int64(CRC32.checksum(Array(row.didID.utf8)) % 60_000)
        func failed(_ text: String) {
            row.failure = String(text.prefix(300))
            row.failedAt = now
        }
        switch outcome {
        case .document(let document):
            row.methods = DIDContent.column(document.methods)
            (row.readAt, row.failure, row.failedAt, row.failures) = (now, nil, nil, 0)
            row.nextAt = now + refreshMilliseconds + spread
            if document.methods.isEmpty {
                failed((["the document has no key for authentication that is taken here"] + document.passedOver).joined(separator: "; "))
            }
        case .gone(let text), .failed(let text):
            failed(text)
            row.failures += 1
            var isOver = now - (row.readAt ?? 0) >= keptMilliseconds
            if case .gone = outcome { isOver = true }
            if isOver { row.methods = "[]" }
            let doubled = firstRetryMilliseconds << min(row.failures - 1, 10)
            row.nextAt = now + min(doubled, longestRetryMilliseconds) + spread / 10
        }
        return row
    }
}

extension DIDContent {
    /// Whether its keys are in a document (did:web).
    var hasDocument: Bool { did.hasPrefix("did:web:") }

    static func column(_ methods: [DIDDocument.Method]) -> String {
        JSONValue.array(
            methods.map { method in
                [
                    "fragment": .string(method.fragment), "curve": .int(Int64(method.key.curve.rawValue)),
                    "key": .string(Base64URL.encode(method.key.bytes)),
                ]
            }
        ).text
    }

    static func methods(_ column: String) -> [DIDDocument.Method] {
        ((try? JSONValue(parsing: column))?.arrayValue ?? []).compactMap { json in
            guard let fragment = json["fragment"]?.stringValue, let number = json["curve"]?.intValue, let raw = UInt8(exactly: number),
                let curve = VerificationKey.Curve(rawValue: raw), let bytes = json["key"]?.stringValue.flatMap({ Base64URL.decode($0) }),
                let key = try? VerificationKey(curve, bytes)
            else { return nil }
            return DIDDocument.Method(fragment: fragment, key: key)
        }
    }

    /// For people: `key-1 (EdDSA, 3f9a0c11)`, with the beginning of the key's fingerprint.
    static func keys(_ column: String) -> [String] {
        methods(column).map { "\($0.fragment) (\($0.key.curve.joseAlgorithm), \(Hex.encode($0.key.fingerprint.prefix(4))))" }
    }
}
