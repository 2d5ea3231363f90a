import Contract
import Domain
import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Primitives
import SwiftProtobuf
import Synchronization
import Testing
import Trust

/// A data plane's keys and what it holds, with none of its behaviour: tests decide what it answers.
final class TestDataPlane: Sendable {
    struct Held: Sendable {
        var trust = TrustStore()
        var marks: [DocumentKind: [DocumentMark]] = [:]
        var secrets: [String: UInt64] = [:]
    }

    let identity = IdentityKey()
    let sealing = SealingKey()
    private let enrolled = Mutex<Weir_V1_EnrollResponse?>(nil)
    let held = Mutex(Held())

    var id: String { enrolled.withLock { $0?.dataPlaneID ?? "" } }
    var deployment: String { enrolled.withLock { $0?.deployment ?? "" } }

    func enroll(_ client: ControlPlane.FleetClient, token: String, version: String = weirVersion.description) async throws {
        var request = Weir_V1_EnrollRequest()
        request.token = token
        request.identityPublicKey = Data(identity.publicKey)
        request.sealingPublicKey = Data(sealing.publicKey)
        request.name = "host"
        request.version = version
        let response = try await client.enroll(request)
        enrolled.withLock { $0 = response }
        let trusted = Dictionary(response.trustedKeys.map { ($0.keyID, Array($0.publicKey)) }, uniquingKeysWith: { a, _ in a })
        held.withLock { $0.trust = TrustStore(trusted) }
    }

    func nonce(_ client: ControlPlane.FleetClient) async throws -> [UInt8] {
        var request = Weir_V1_ChallengeRequest()
        request.dataPlaneID = id
        return Array(try await client.challenge(request).nonce)
    }

    func open(
        _ client: ControlPlane.FleetClient, nonce: [UInt8], key: IdentityKey? = nil, version: String = weirVersion.description
    ) async throws -> String { try await opened(client, nonce: nonce, key: key, version: version).session }

    func opened(
        _ client: ControlPlane.FleetClient, nonce: [UInt8], key: IdentityKey? = nil, version: String = weirVersion.description
    ) async throws -> Weir_V1_OpenSessionResponse {
        var request = Weir_V1_OpenSessionRequest()
        request.dataPlaneID = id
        request.nonce = Data(nonce)
        request.version = version
        let body = SessionChallenge.body(deployment: deployment, dataPlaneID: id, nonce: nonce)
        request.signature = Data(try (key ?? identity).sign(type: SessionChallenge.type, body: body))
        return try await client.openSession(request)
    }

    var trust: TrustStore { held.withLock { $0.trust } }

    func session(_ client: ControlPlane.FleetClient) async throws -> String { try await open(client, nonce: try await nonce(client)) }

    func hello(wantsFullDirectory: Bool = false) -> Weir_V1_Hello {
        held.withLock { held in
            var hello = Weir_V1_Hello()
            hello.version = weirVersion.description
            hello.held = held.marks.values.flatMap { $0 }.map(\.proto)
            hello.secrets = held.secrets.map { entry in
                var mark = Weir_V1_SecretMark()
                mark.credentialID = entry.key
                mark.revision = entry.value
                return mark
            }
            hello.wantsFullDirectory = wantsFullDirectory
            return hello
        }
    }

    /// Checks what a real data plane checks first: signature, audience, digest.
    func verify(_ envelope: Weir_V1_Envelope) throws -> VerifiedDocument {
        let trust = held.withLock { $0.trust }
        return try DocumentVerifier(trust: trust, deployment: deployment, dataPlaneID: id).verify(envelope)
    }

    /// Opens a session and a subscription for the time of `body`.
    func subscribed<R: Sendable>(
        _ client: ControlPlane.FleetClient, wantsFullDirectory: Bool = false, _ body: @Sendable @escaping (TestLink) async throws -> R
    ) async throws -> R {
        let session = try await session(client)
        return try await subscribed(client, session: session, hello: hello(wantsFullDirectory: wantsFullDirectory), body)
    }

    func subscribed<R: Sendable>(
        _ client: ControlPlane.FleetClient, session: String, hello: Weir_V1_Hello, _ body: @Sendable @escaping (TestLink) async throws -> R
    ) async throws -> R {
        let (outgoing, send) = AsyncStream.makeStream(of: Weir_V1_SubscribeRequest.self)
        let (incoming, receive) = AsyncThrowingStream.makeStream(of: Weir_V1_SubscribeResponse.self)
        let link = TestLink(self, incoming: incoming, send: send)
        var first = Weir_V1_SubscribeRequest()
        first.hello = hello
        send.yield(first)
        let call = Task {
            var options = CallOptions.defaults
            options.maxResponseMessageBytes = 512 << 20
            options.maxRequestMessageBytes = 512 << 20
            let request = StreamingClientRequest<Weir_V1_SubscribeRequest>(metadata: ["authorization": "Bearer \(session)"]) { writer in
                for await message in outgoing { try await writer.write(message) }
            }
            do {
                try await client.subscribe(request: request, options: options) { response in
                    for try await message in response.messages { receive.yield(message) }
                }
                receive.finish()
            } catch {
                receive.finish(throwing: error)
            }
        }
        defer {
            send.finish()
            call.cancel()
        }
        return try await body(link)
    }
}

/// A subscription as a test drives it.
actor TestLink {
    enum Message: Sendable {
        case document(VerifiedDocument)
        case secrets(Weir_V1_SealedSecrets)
    }

    private let plane: TestDataPlane
    private var incoming: AsyncThrowingStream<Weir_V1_SubscribeResponse, any Error>.Iterator
    private let send: AsyncStream<Weir_V1_SubscribeRequest>.Continuation
    /// Kinds in the order they came, heartbeats left out.
    private(set) var order: [String] = []

    init(
        _ plane: TestDataPlane, incoming: AsyncThrowingStream<Weir_V1_SubscribeResponse, any Error>,
        send: AsyncStream<Weir_V1_SubscribeRequest>.Continuation
    ) {
        self.plane = plane
        self.incoming = incoming.makeAsyncIterator()
        self.send = send
    }

    /// The next message, unanswered.
    /// - Throws: the stream's error, or `TestFailure` at its end.
    func next() async throws -> Message {
        var iterator = incoming
        let message = try await iterator.next(isolation: self)
        incoming = iterator
        switch message?.message {
        case .document(let envelope):
            let document = try plane.verify(envelope)
            if document.kind != .heartbeat { order.append(document.kind.word) }
            return .document(document)
        case .secrets(let secrets):
            order.append("secrets")
            return .secrets(secrets)
        case .rateShares: throw TestFailure("shares of limits came, and none were asked for")
        case .armPriors: throw TestFailure("what others have learnt came, and nothing was told")
        case nil: throw TestFailure("the stream ended")
        }
    }

    /// Takes and accepts everything up to a document of this kind, which is accepted as well.
    @discardableResult
    func document(_ kind: DocumentKind) async throws -> VerifiedDocument {
        while true {
            switch try await next() {
            case .document(let document):
                accept(document)
                if document.kind == kind { return document }
            case .secrets(let secrets): accept(secrets)
            }
        }
    }

    /// Takes and accepts everything until one document of each of these kinds was there; answers the last of each.
    @discardableResult
    func all(_ kinds: DocumentKind...) async throws -> [DocumentKind: VerifiedDocument] {
        var seen: [DocumentKind: VerifiedDocument] = [:]
        while !kinds.allSatisfy({ seen[$0] != nil }) {
            switch try await next() {
            case .document(let document):
                accept(document)
                seen[document.kind] = document
            case .secrets(let secrets): accept(secrets)
            }
        }
        return seen
    }

    func secrets() async throws -> Weir_V1_SealedSecrets {
        while true {
            switch try await next() {
            case .document(let document): accept(document)
            case .secrets(let secrets):
                accept(secrets)
                return secrets
            }
        }
    }

    func accept(_ document: VerifiedDocument) {
        if document.kind == .keyring, let payload = try? Weir_V1_KeyringPayload(serializedBytes: document.payload) {
            let keys = Dictionary(payload.keys.map { ($0.keyID, Array($0.publicKey)) }, uniquingKeysWith: { a, _ in a })
            plane.held.withLock { $0.trust = TrustStore(keys) }
        }
        if document.kind != .heartbeat {
            let mark = DocumentMark(
                kind: document.kind, epoch: Int64(document.version.epoch), version: Int64(document.version.version), digest: document.digest
            )
            plane.held.withLock { held in
                held.marks[document.kind] = document.kind == .config ? (held.marks[.config] ?? []) + [mark] : [mark]
            }
        }
        answer(document, accepted: true)
    }

    func accept(_ secrets: Weir_V1_SealedSecrets) {
        plane.held.withLock { held in
            for secret in secrets.secrets { held.secrets[secret.credentialID] = secret.revision }
            for id in secrets.removedCredentialIds { held.secrets[id] = nil }
        }
    }

    func refuse(_ document: VerifiedDocument, _ refusal: DocumentRefusal) {
        answer(document, accepted: false, refusal)
    }

    private func answer(_ document: VerifiedDocument, accepted: Bool, _ refusal: DocumentRefusal? = nil) {
        var message = Weir_V1_SubscribeRequest()
        message.acknowledgement.kind = document.kind.payloadType
        message.acknowledgement.epoch = document.version.epoch
        message.acknowledgement.version = document.version.version
        message.acknowledgement.digest = Data(document.digest)
        message.acknowledgement.accepted = accepted
        message.acknowledgement.reason = refusal?.code.rawValue ?? ""
        message.acknowledgement.detail = refusal?.detail ?? ""
        send.yield(message)
    }

    func report(_ report: Weir_V1_StatusReport) {
        var message = Weir_V1_SubscribeRequest()
        message.status = report
        send.yield(message)
    }

    func hang() { send.finish() }
}

extension VerifiedDocument {
    func directory() throws -> Weir_V1_DirectoryPayload { try Weir_V1_DirectoryPayload(serializedBytes: payload) }
}

/// The code of the gRPC error that `work` throws; nil when it throws none.
func rpcCode(_ work: @Sendable @escaping () async throws -> some Sendable) async throws -> RPCError.Code? {
    do {
        _ = try await work()
        return nil
    } catch let error as RPCError {
        return error.code
    }
}

/// Expects `work` to be refused with this code.
func expectRefusal(
    _ code: RPCError.Code, _ what: String = "", sourceLocation: SourceLocation = #_sourceLocation,
    _ work: @Sendable @escaping () async throws -> some Sendable
) async throws {
    let found = try await rpcCode(work)
    #expect(found == code, "\(what)", sourceLocation: sourceLocation)
}
