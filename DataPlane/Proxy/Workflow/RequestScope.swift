import Contract
import Formats
import NIOCore
import Primitives

/// What expressions can name of a request.
struct RequestScope: ExpressionScope {
    let caller: Caller
    var model: CompiledModel
    let body: ByteBuffer
    let members: BodyMembers?
    /// Those that the configuration reads, by lower-case names.
    let headers: [String: String]
    /// Of lookups, by their steps' names.
    var answers: [String: JSONValue] = [:]

    /// A member that is larger reads as null: no expression takes a conversation apart.
    static let maximumMemberBytes = 65_536

    init(caller: Caller, model: CompiledModel, body: ByteBuffer, headers: [String: String]) {
        self.caller = caller
        self.model = model
        self.body = body
        self.headers = headers
        members = body.withUnsafeReadableBytes { BodyMembers($0) }
    }

    func value(of root: ExpressionRoot, _ name: String) -> JSONValue {
        switch root {
        case .caller: caller.value(name)
        case .model:
            switch name {
            case "name": .string(model.name)
            case "context_window": model.contextWindow > 0 ? .int(model.contextWindow) : .null
            case "max_output_tokens": model.maxOutputTokens > 0 ? .int(model.maxOutputTokens) : .null
            default: .null
            }
        case .request: member(name)
        case .headers: headers[name].map { .string($0) } ?? .null
        case .steps: answers[name] ?? .null
        }
    }

    private func member(_ name: String) -> JSONValue {
        guard let range = members?.value(name), range.count <= Self.maximumMemberBytes else { return .null }
        return body.withUnsafeReadableBytes { bytes in
            (try? JSONValue(parsing: UnsafeRawBufferPointer(rebasing: bytes[range]), maximumDepth: 64)) ?? .null
        }
    }

    /// Whether the request is already as a template's edit would make it: what changes nothing is not blamed for anything.
    func passes(_ edit: CompiledTemplate.Edit) -> Bool {
        switch edit.action {
        case .remove: return members?.value(edit.name) == nil
        case .fill:
            guard let range = members?.value(edit.name) else { return false }
            return body.withUnsafeReadableBytes { !$0[range].elementsEqual("null".utf8) }
        case .set, .system, .header: return false
        }
    }

    /// What a lookup is told where it does not say what it wants to know. Nothing of what is said in the conversation.
    var question: JSONValue {
        var object = JSONObject()
        for name in (ExpressionRoot.caller.members ?? []).sorted() { object[name] = caller.value(name) }
        return ["caller": .object(object), "model": .string(model.name)]
    }
}

extension Caller {
    fileprivate func value(_ name: String) -> JSONValue {
        func text(_ id: IDBits?, _ prefix: StaticString) -> JSONValue {
            id.map { .string(String(decoding: $0.bytes(prefix: prefix), as: UTF8.self)) } ?? .null
        }
        func own(_ kind: Principal.Kind) -> JSONValue { principal.kind == kind ? text(principal.id, kind.idPrefix) : .null }
        switch name {
        case "kind":
            return switch principal.kind {
            case .key: "key"
            case .app: "app"
            case .user: "user"
            case .did: "did"
            case .revokedGrant: .null
            }
        case "channel": return .string(channel.rawValue)
        case "api":
            return switch dialect {
            case .openAI: "chat"
            case .responses: "responses"
            case .messages: "messages"
            }
        case "tenant_id": return .string(String(decoding: tenant.idBytes, as: UTF8.self))
        case "project_id": return principal.project.map { .string(String(decoding: $0.idBytes, as: UTF8.self)) } ?? .null
        case "key_id": return principal.kind == .key ? own(.key) : text(principal.delegate, KeyEntry.idPrefix)
        case "app_id": return own(.app)
        case "did_id": return own(.did)
        case "user_id": return principal.kind == .user ? own(.user) : text(principal.user, UserEntry.idPrefix)
        case "tags":
            // As they stand in keys: name=text.
            let pairs = (scopes?.tags ?? []).compactMap { tag -> JSONObject.Member? in
                let parts = String(decoding: tag, as: UTF8.self).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                return parts.count == 2 ? .init(name: String(parts[0]), value: .string(String(parts[1]))) : nil
            }
            return .object(JSONObject(members: pairs))
        default: return .null
        }
    }
}
