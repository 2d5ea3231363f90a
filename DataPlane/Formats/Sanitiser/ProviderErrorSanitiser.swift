import Primitives

/// What is left of a provider's error that a caller may see.
package struct SanitisedError: Sendable, Equatable {
    package var message: String
    package var type: String?
    package var param: String?
    package var code: String?

    package init(message: String, type: String? = nil, param: String? = nil, code: String? = nil) {
        self.message = message
        self.type = type
        self.param = param
        self.code = code
    }
}

/// Reads the error body of a provider, which may hold anything, and keeps what helps the caller to correct the request: bounded texts
/// without keys, addresses, host names, paths and stack traces.
package enum ProviderErrorSanitiser {
    /// Larger bodies are not read.
    package static let maxBodyBytes = 65_536
    package static let maxMessageBytes = 512
    package static let maxNameBytes = 96

    /// Nil when the body is not JSON, holds no message, or nothing of its message may be shown.
    ///
    /// Understands OpenAI's `{"error":{…}}`, a bare `{"message":…}`, `{"error":"…"}`, FastAPI's `{"detail":…}`, and any of these as the
    /// first element of an array.
    package static func sanitise(_ body: UnsafeRawBufferPointer) -> SanitisedError? {
        guard !body.isEmpty, body.count <= maxBodyBytes, let parsed = try? JSONValue(parsing: body, maximumDepth: 32) else { return nil }
        var root = parsed
        if case .array(let elements) = parsed, let first = elements.first { root = first }
        guard case .object(let object) = root else { return nil }
        switch object["error"] {
        case .object(let error): return read(error)
        case .string(let message): return make(message: message, type: object["type"], param: nil, code: object["code"])
        default: break
        }
        if object["message"] != nil { return read(object) }
        switch object["detail"] {
        case .string(let message): return make(message: message, type: nil, param: nil, code: nil)
        case .object(let detail): return read(detail)
        case .array(let details):
            guard case .object(let detail)? = details.first, case .string(let message)? = detail["msg"] else { return nil }
            return make(message: message, type: detail["type"], param: nil, code: nil)
        default: return nil
        }
    }

    private static func read(_ error: JSONObject) -> SanitisedError? {
        guard case .string(let message)? = error["message"] else { return nil }
        return make(message: message, type: error["type"], param: error["param"], code: error["code"])
    }

    private static func make(message: String, type: JSONValue?, param: JSONValue?, code: JSONValue?) -> SanitisedError? {
        let text = TextSanitiser.clean(message, maxBytes: maxMessageBytes)
        guard text.unicodeScalars.contains(where: { $0.properties.isAlphabetic }) else { return nil }
        return SanitisedError(message: text, type: name(type), param: name(param), code: name(code))
    }

    private static func name(_ value: JSONValue?) -> String? {
        switch value {
        case .string(let text): TextSanitiser.identifier(text, maxBytes: maxNameBytes)
        case .int(let number): String(number)
        default: nil
        }
    }
}
