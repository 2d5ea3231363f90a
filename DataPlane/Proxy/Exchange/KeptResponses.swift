import Contract
import Formats
import NIOCore
import Primitives
import Trust
import Wire

/// `/v1/responses/{id}` and below: of a response that a provider keeps for a tenant, known by a name of its own (`ResourceIDs`).
final class KeptCall {
    let name: [UInt8]
    private let method: [UInt8]
    /// Behind the response's id: `/input_items`, `/cancel` or nothing.
    private let rest: [UInt8]
    private let query: [UInt8]
    private let lines: [UInt8]
    /// Where the response is, and how that is asked, once it is known.
    private(set) var place: ResourceIDs.Place?
    private(set) var forward: Forward?

    /// What a query may hold: nothing that another reader could take for the API's version or a key.
    private static let parameters: Set<String> = [
        "include", "include[]", "include%5b%5d", "after", "before", "limit", "order", "stream", "include_obfuscation",
    ]

    /// - Parameter rest: of the path, behind `/responses/`.
    init<Head: RequestHead & ~Copyable>(_ head: borrowing Head, _ bytes: UnsafeRawBufferPointer, rest: Range<Int>) throws(Rejection) {
        var parts = bytes[rest].split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map(Array.init)
        // One slash at the end is forgiven, as everywhere.
        if parts.count > 1, parts.last?.isEmpty == true { parts.removeLast() }
        let allowed: String? =
            switch parts.count == 2 ? String(decoding: parts[1], as: UTF8.self) : parts.count == 1 ? "" : nil {
            case "": "GET, DELETE"
            case "input_items": "GET"
            case "cancel": "POST"
            default: nil
            }
        guard let name = parts.first, !name.isEmpty, let allowed else {
            throw .unknownURL(Accept.text(bytes, head.methodRange), Accept.text(bytes, head.path))
        }
        self.name = name
        let method = String(decoding: bytes[head.methodRange], as: UTF8.self)
        guard allowed.split(separator: ", ").contains(method[...]) else {
            throw .methodNotAllowed(Accept.text(bytes, head.methodRange), Accept.text(bytes, head.path), allowed: allowed)
        }
        self.method = Array(method.utf8)
        self.rest = parts.count == 2 ? [UInt8(ascii: "/")] + parts[1] : []
        query = try Self.checked(head.hasQuery ? Array(bytes[head.query]) : [])
        lines = Array("accept: application/json\r\n".utf8) + Accept.dialectLines(.responses, head, bytes)
    }

    private static func checked(_ query: [UInt8]) throws(Rejection) -> [UInt8] {
        for pair in query.split(separator: UInt8(ascii: "&")) {
            let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(decoding: parts.first ?? [], as: UTF8.self).prefix(64)
            guard parameters.contains(name.lowercased()) else {
                throw .badRequest("unknown_parameter", "The query has an unknown parameter: '\(name)'.", param: String(name))
            }
            // Only what runs in the background can be streamed later, and nothing does here.
            if name.lowercased() == "stream", parts.count < 2 || !parts[1].elementsEqual("false".utf8) {
                throw .badRequest("unsupported", "A response that is kept can be fetched in one piece only.", param: "stream")
            }
        }
        return query
    }

    fileprivate func found(_ place: ResourceIDs.Place, at endpoint: CompiledEndpoint) {
        var target = Array("/responses/".utf8) + place.id + rest + endpoint.pathSuffix
        if !query.isEmpty { target += [UInt8(ascii: endpoint.pathSuffix.isEmpty ? "?" : "&")] + query }
        self.place = place
        forward = Forward(method: method, target: target, lines: lines)
    }
}

extension Exchange {
    /// Admit and Select for a response that is kept: at the endpoint and with the credential that it was made with, if its name is one of the
    /// caller's tenant. Recorded for the first of the models there that the caller may use; it costs nothing.
    func kept(_ call: KeptCall, _ asked: Asked, _ caller: Caller, _ config: CompiledConfig) throws(Rejection) {
        if let scopes = caller.scopes, !scopes.allows(capability: .chat) {
            throw .forbidden("capability_not_allowed", "The key may not be used for chat.")
        }
        guard config.endpoints.values.contains(where: \.keepsResponses) else { throw .noStoredResponses() }
        guard let names = asked.snapshot.credentials.resourceIDs else { throw .namesNotReady() }
        guard let place = names.place(named: call.name, .response, tenant: caller.tenant.idBytes),
            var (model, candidate) = asked.way(to: place, for: caller, among: config.sortedModels, where: \.keepsItsResponses)
        else { throw .responseNotFound(call.name) }
        candidate.dialect = .responses
        call.found(place, at: candidate.endpoint)
        let admittedAt = receivedAt &+ (loop.nowMicroseconds &- startedAt)
        let admission = Admission(
            call.forward, kept: call, asked, caller, config, model, candidate.target, loop.nothing, requestID: requestID, at: admittedAt)
        if try hold(admission, address: asked.address, candidate: candidate) { try launch(admission, candidate) }
    }

    /// What the caller is told of an attempt that failed: of a DID's own key, of what is kept, or as ever. The provider's words name what is kept
    /// by the provider's ids.
    func rejection(_ outcome: AttemptOutcome, of admission: Admission) -> Rejection {
        if admission.capability == .forward { return outcome.forwardedRejection }
        if let rejection = admission.fileRejection(outcome) { return rejection }
        var rejection = admission.kept.map { outcome.rejection(of: $0) } ?? outcome.rejection
        for file in admission.files?.names ?? [] {
            rejection.message = rejection.message.replacing(String(decoding: file.hidden, as: UTF8.self), with: file.shown)
        }
        if let place = admission.kept?.place ?? admission.previous, let names = admission.snapshot.credentials.resourceIDs,
            let name = names.name(of: place, .response, tenant: admission.caller.tenant.idBytes)
        {
            rejection.message = rejection.message.replacing(String(decoding: place.id, as: UTF8.self), with: name)
        }
        return rejection
    }
}

extension AttemptOutcome {
    fileprivate func rejection(of call: KeptCall) -> Rejection {
        guard case .refused(let error, let wait) = ending else { return rejection }
        switch error.status {
        case 404, 410: return .responseNotFound(call.name)
        case 400, 409, 422:
            var rejection = Rejection(error, retryMilliseconds: wait)
            (rejection.status, rejection.fault, rejection.kind) = (error.status, .client, .invalidRequest)
            rejection.isPermanent = false
            if let words = error.shown?.message { rejection.message = words }
            return rejection
        default: return rejection
        }
    }
}

extension Asked {
    /// A model that the caller may use, the first of these, at whose endpoint something is kept, and the credential that it was made with.
    func way(
        to place: ResourceIDs.Place, for caller: Caller, among models: [CompiledModel],
        where keeps: (CompiledEndpoint) -> Bool = { _ in true }
    ) -> (CompiledModel, Candidate)? {
        for model in models where model.isVisible(to: caller.tenant) && caller.scopes?.allows(model: model.name) ?? true {
            let target = model.route?.targets.first { keeps($0.endpoint) && place.isAt(endpointID: $0.endpoint.id) }
            guard let target else { continue }
            let credential = target.endpoint.credentialIDs
                .first { place.isOf(credentialID: $0) && caller.scopes?.allows(credential: $0) ?? true }
                .flatMap { snapshot.credentials[$0] }
            let line = credential?.headerLine(at: target.endpoint)
            guard line != nil || target.endpoint.authScheme == .none else { return nil }
            return (model, Candidate(target: target, credential: credential, credentialLine: line ?? [], asksForUsage: false))
        }
        return nil
    }
}

extension CompiledEndpoint {
    fileprivate var keepsItsResponses: Bool { keepsResponses && speaks.contains(.responses) }
}

extension Admission {
    /// The response that the request goes on from is in one account: the request goes there, and to no other endpoint, credential or model.
    /// - Throws: 400 for a response that is none of the caller's, or where the model is not served from there.
    func goOn(from name: [UInt8]) throws(Rejection) {
        guard route.targets.contains(where: \.endpoint.keepsItsResponses) else {
            throw .badRequest(
                "unsupported",
                "No provider of the model '\(model.name)' keeps responses here. Send the conversation's items as input, in place of "
                    + "previous_response_id.", param: "previous_response_id")
        }
        guard let names = snapshot.credentials.resourceIDs else { throw .namesNotReady() }
        guard let place = names.place(named: name, .response, tenant: caller.tenant.idBytes) else {
            throw .previousResponseNotFound(name)
        }
        guard stay(at: place, where: \.keepsItsResponses) else {
            throw .badRequest(
                "response_elsewhere",
                "The response is kept where the model '\(model.name)' is not served from. Use the model that made it, or send the "
                    + "conversation's items as input.", param: "previous_response_id")
        }
        previous = place
    }
}

extension Rejection {
    /// As OpenAI's API says it.
    static func responseNotFound(_ name: [UInt8]) -> Rejection {
        Rejection(
            status: 404, fault: .client, kind: .invalidRequest, code: "response_not_found",
            message: "Response with id '\(shown(name))' not found.")
    }

    static func previousResponseNotFound(_ name: [UInt8]) -> Rejection {
        badRequest(
            "previous_response_not_found",
            "Previous response with id '\(shown(name))' not found. Responses are known by the ids that this gateway gave them.",
            param: "previous_response_id")
    }

    static func namesNotReady() -> Rejection {
        Rejection(
            status: 503, fault: .weir, kind: .server, code: "names_not_ready",
            message: "This gateway does not have yet what kept files and responses are named with. Try again in a moment.",
            retryMilliseconds: 2000)
    }

    private static func shown(_ name: [UInt8]) -> String { String(decoding: name.prefix(ResourceIDs.longestName), as: UTF8.self) }
}
