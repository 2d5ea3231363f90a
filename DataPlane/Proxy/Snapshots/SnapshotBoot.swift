import Contract
import GRDB
import Primitives
import SwiftProtobuf
import Trust

/// Something on the disk that could not be used. Gone once the same thing comes again from the control plane.
struct BootProblem: Sendable, Hashable {
    enum Subject: Sendable, Hashable {
        case document(DocumentKind)
        case credential(String)
    }

    let subject: Subject
    let text: String

    init(_ subject: Subject, _ text: String) {
        self.subject = subject
        self.text = text
    }
}

/// Reads the disk at the start. Everything is judged again as when it came, but for its time (what is active keeps serving) and its
/// version (the marks are what it is measured against).
struct SnapshotBoot {
    let local: LocalStore
    let identity: DataPlaneIdentity
    let maximumDocumentBytes: Int

    func load() throws -> (state: SnapshotState, problems: [BootProblem]) {
        var state = SnapshotState()
        var problems: [BootProblem] = []
        try local.write { db in
            var keys = try TrustedKeys.all(db)
            if keys.trusted.isEmpty {
                try TrustedKeys.replace(db, identity.enrolledTrust.keys)
                keys.trusted = identity.enrolledTrust.keys
            }
            state.trust = TrustStore(keys.trusted)
            state.retired = TrustStore(keys.retired)
            state.marks = try DocumentMarks.all(db)
            let verifier = DocumentVerifier(
                trust: TrustStore(keys.trusted.merging(keys.retired) { first, _ in first }), deployment: identity.deployment,
                dataPlaneID: identity.dataPlaneID.rawValue, maximumBytes: maximumDocumentBytes)
            state.seenConfigs = try ConfigDocuments.seen(db)
            for stored in try ConfigDocuments.all(db) { loadConfig(stored, verifier, &state, &problems) }
            loadRollouts(try SingleDocuments.all(db, .rollout), verifier, &state, &problems)
            try DirectoryDocuments.forEach(db) { loadDirectory($0, verifier, &state, &problems) }
            try loadRevocation(db, verifier, &state, &problems)
            if state.marks[.directory] != nil, state.directoryHold != state.marks[.directory] { state.wantsFullDirectory = true }
            for sealed in try SealedSecretRows.all(db) {
                do throws(SecretRefusal) {
                    state.secrets[sealed.credentialID] = try Self.open(sealed, identity)
                } catch {
                    problems.append(BootProblem(.credential(sealed.credentialID), "credential \(sealed.credentialID): \(error.text)"))
                }
            }
        }
        return (state, problems)
    }

    private func loadConfig(
        _ stored: StoredDocument, _ verifier: DocumentVerifier, _ state: inout SnapshotState, _ problems: inout [BootProblem]
    ) {
        do throws(DocumentRefusal) {
            let document = try verify(stored, .config, verifier)
            state.configs[document.version.version] = try Self.compile(document, reusing: state.configs.values.map(\.config))
        } catch {
            state.lostConfigs.insert(stored.hold.version.version)
            problems.append(BootProblem(.document(.config), "stored configuration \(stored.hold.version): \(error)"))
        }
    }

    /// - Parameter stored: newest first.
    private func loadRollouts(
        _ stored: [StoredDocument], _ verifier: DocumentVerifier, _ state: inout SnapshotState, _ problems: inout [BootProblem]
    ) {
        var rollouts: [SnapshotState.HeldRollout] = []
        for one in stored {
            do throws(DocumentRefusal) {
                rollouts.append(try Self.rollout(verify(one, .rollout, verifier), identity))
            } catch {
                problems.append(BootProblem(.document(.rollout), "stored rollout \(one.hold.version): \(error)"))
            }
        }
        let held = Set(state.configs.keys)
        for rollout in rollouts {
            let missing = rollout.versions.subtracting(held)
            if !missing.isEmpty {
                let text = "stored rollout \(rollout.hold.version): configurations \(missing.sorted()) are missing"
                problems.append(BootProblem(.document(.rollout), text))
            }
        }
        // Whole before lame, new before old.
        let whole = rollouts.firstIndex { $0.versions.isSubset(of: held) }
        guard let chosen = whole ?? rollouts.firstIndex(where: { held.contains($0.payload.baselineVersion) }) else { return }
        state.rollout = rollouts[chosen]
        state.previousRollout = rollouts.indices.contains(chosen + 1) ? rollouts[chosen + 1] : nil
    }

    /// False ends the chain: what follows a damaged document cannot be built.
    private func loadDirectory(
        _ stored: StoredDocument, _ verifier: DocumentVerifier, _ state: inout SnapshotState, _ problems: inout [BootProblem]
    ) -> Bool {
        do throws(DocumentRefusal) {
            let document = try verify(stored, .directory, verifier)
            guard !document.isDelta || Array(document.header.previousDigest) == state.directoryHold?.digest else {
                throw DocumentRefusal(.wrongPreviousDigest, "it does not build on the one before it")
            }
            state.directory = try Self.directory(document, base: state.directory, selector: state.rollout?.selector)
            state.directoryHold = stored.hold
            if document.isDelta {
                state.deltas += 1
                state.deltaBytes += document.payload.count
            } else {
                state.fullBytes = document.payload.count
            }
            return true
        } catch {
            problems.append(BootProblem(.document(.directory), "stored directory \(stored.hold.version): \(error)"))
            state.wantsFullDirectory = true
            return false
        }
    }

    private func loadRevocation(
        _ db: Database, _ verifier: DocumentVerifier, _ state: inout SnapshotState, _ problems: inout [BootProblem]
    ) throws {
        guard let row = try RevocationRow.read(db) else { return }
        do throws(DocumentRefusal) {
            let document = try verifier.verify(row.envelope)
            guard document.kind == .revocation, let payload = try? Weir_V1_RevocationPayload(serializedBytes: document.payload) else {
                throw DocumentRefusal(.malformedPayload, "it is no revocation")
            }
            state.revocation = Revocation(
                revokedAtMilliseconds: payload.revokedAtMs, heardAtMilliseconds: row.heardAtMilliseconds, isInForce: false)
        } catch {
            // It was verified when it was written: a row that is damaged since is still one that was written.
            problems.append(BootProblem(.document(.revocation), "stored revocation: \(error)"))
            state.revocation = Revocation(
                revokedAtMilliseconds: row.heardAtMilliseconds, heardAtMilliseconds: row.heardAtMilliseconds, isInForce: false)
        }
    }

    private func verify(_ stored: StoredDocument, _ kind: DocumentKind, _ verifier: DocumentVerifier) throws(DocumentRefusal)
        -> VerifiedDocument
    {
        let document = try verifier.verify(stored.envelope)
        guard document.kind == kind, document.version == stored.hold.version, document.digest == stored.hold.digest else {
            throw DocumentRefusal(.badDigest, "the row holds another document than it says")
        }
        return document
    }

    // MARK: From a verified document to what is compiled from it

    static func compile(
        _ document: VerifiedDocument, reusing known: [CompiledConfig]
    ) throws(DocumentRefusal) -> SnapshotState.HeldConfig {
        guard let payload = try? Weir_V1_ConfigPayload(serializedBytes: document.payload) else {
            throw DocumentRefusal(.malformedPayload, "the payload is not a ConfigPayload")
        }
        let compiler = ConfigCompiler(reusing: known)
        return SnapshotState.HeldConfig(
            hold: DocumentHold(version: document.version, digest: document.digest),
            config: try compiler.compile(payload, version: document.version.version, digest: document.digest))
    }

    static func rollout(_ document: VerifiedDocument, _ identity: DataPlaneIdentity) throws(DocumentRefusal) -> SnapshotState.HeldRollout {
        guard let payload = try? Weir_V1_RolloutPayload(serializedBytes: document.payload) else {
            throw DocumentRefusal(.malformedPayload, "the payload is not a RolloutPayload")
        }
        guard payload.percentageBasisPoints <= RolloutSelection.allBasisPoints else {
            throw DocumentRefusal(.malformedPayload, "a percentage above 100")
        }
        return SnapshotState.HeldRollout(
            hold: DocumentHold(version: document.version, digest: document.digest), payload: payload,
            selector: RolloutSelector(payload: payload, region: identity.region, dataPlane: identity.dataPlaneID.rawValue))
    }

    static func directory(
        _ document: VerifiedDocument, base: Directory, selector: RolloutSelector?
    ) throws(DocumentRefusal) -> Directory {
        let result: Result<Directory, DocumentRefusal> = document.payload.withUnsafeBytes { payload in
            do throws(DocumentRefusal) {
                guard DirectoryReader.isDelta(payload) == document.isDelta else {
                    throw DocumentRefusal(.malformedPayload, "header and payload disagree about being a delta")
                }
                return .success(try DirectoryReader.read(payload, base: base, selector: selector))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    // MARK: Credentials

    /// - Throws: `SecretRefusal.unopened` when it was not sealed to this data plane for this row.
    static func open(_ sealed: Weir_V1_SealedSecret, _ identity: DataPlaneIdentity) throws(SecretRefusal) -> CredentialEntry {
        let aad = SealedCredentialBinding.aad(
            deployment: identity.deployment, dataPlaneID: identity.dataPlaneID.rawValue, credentialID: sealed.credentialID,
            providerID: sealed.providerID, revision: sealed.revision)
        guard sealed.ciphertext.count <= 65_536,
            let secret = try? Sealing.open(
                Array(sealed.ciphertext), encapsulatedKey: Array(sealed.encapsulatedKey), with: identity.sealingKey, aad: aad)
        else { throw .unopened }
        return CredentialEntry(id: sealed.credentialID, providerID: sealed.providerID, revision: sealed.revision, secret: secret)
    }
}

/// Why a credential cannot be used.
enum SecretRefusal: Error, Hashable {
    case unopened
    case older
    case malformed
    case storage

    var text: String {
        switch self {
        case .unopened: "it was not sealed to this data plane, or not as this credential"
        case .older: "an older revision than the one held; it was left as it is"
        case .malformed: "it is empty or holds control characters, which no header field may"
        case .storage: "it could not be stored"
        }
    }
}
