import Primitives

/// What is left of a provider's error that a caller, and the log, may see.
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
    package static func sanitise(_ body: UnsafeRawBufferPointer, hiding hidden: HiddenTexts = .none) -> SanitisedError? {
        ErrorBody(body).flatMap { sanitise($0, hiding: hidden) }
    }

    static func sanitise(_ error: ErrorBody, hiding hidden: HiddenTexts) -> SanitisedError? {
        guard let message = error.message else { return nil }
        let text = TextSanitiser.clean(message, maxBytes: maxMessageBytes, hiding: hidden)
        guard text.unicodeScalars.contains(where: { $0.properties.isAlphabetic }) else { return nil }
        func name(_ value: JSONValue?) -> String? {
            switch value {
            case .string(let text): TextSanitiser.identifier(text, maxBytes: maxNameBytes, hiding: hidden)
            case .int(let number): String(number)
            default: nil
            }
        }
        return SanitisedError(message: text, type: name(error.type), param: name(error.param), code: name(error.code))
    }
}

/// The members of a provider's error, in whichever of the common shapes it came. Nothing of it is fit to be shown.
struct ErrorBody {
    var message: String?
    var type: JSONValue?
    var param: JSONValue?
    var code: JSONValue?
    /// Members in which vendors say more: OpenRouter's `metadata`, a numeric `status`.
    var metadata: JSONValue?
    var status: Int64?
    /// FastAPI's list of complaints: where each one stands in the request, as `body.stream_options`.
    var locations: [String] = []

    /// Nil when the body is not a JSON object (or an array of one), or larger than is read.
    init?(_ body: UnsafeRawBufferPointer) {
        guard !body.isEmpty, body.count <= ProviderErrorSanitiser.maxBodyBytes,
            let parsed = try? JSONValue(parsing: body, maximumDepth: 32)
        else { return nil }
        var root = parsed
        if case .array(let elements) = parsed, let first = elements.first { root = first }
        guard case .object(let object) = root else { return nil }
        status = object["status"]?.intValue ?? object["status_code"]?.intValue
        if case .object(let error)? = object["error"] {
            read(error)
        } else if case .string(let text)? = object["error"] {
            message = text
            type = object["type"]
            code = object["code"]
        } else if case .object(let inner)? = object["message"], inner["detail"] != nil {
            // Mistral's.
            read(detail: inner["detail"])
        } else if object["message"] != nil {
            read(object)
        } else {
            read(detail: object["detail"])
        }
    }

    private mutating func read(detail: JSONValue?) {
        switch detail {
        case .string(let text): message = text
        case .object(let detail): read(detail)
        case .array(let details):
            message = details.first?["msg"]?.stringValue
            type = details.first?["type"]
            locations = details.map { detail in
                (detail["loc"]?.arrayValue ?? []).map { $0.stringValue ?? $0.intValue.map { "\($0)" } ?? "" }.joined(separator: ".")
            }
        default: break
        }
    }

    private mutating func read(_ error: JSONObject) {
        message = error["message"]?.stringValue
        type = error["type"]
        param = error["param"]
        code = error["code"]
        metadata = error["metadata"]
        status = error["status"]?.intValue ?? status
        // Google's API names its kind of error where others have a number.
        if type == nil, case .string? = error["status"] { type = error["status"] }
    }
}
