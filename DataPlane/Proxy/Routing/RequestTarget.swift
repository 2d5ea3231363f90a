import Formats
import Primitives

/// What a request's path asks for.
enum RequestTarget: Equatable {
    case generate(Capability, Dialect, Caller.Channel)
    /// Images, sound, moderation: what is neither a conversation nor text.
    case media(MediaOperation, Caller.Channel)
    case listModels(Caller.Channel)
    /// The name is the path's rest, still percent-encoded.
    case showModel(Caller.Channel, Range<Int>)
    /// The rest of the path, from the slash behind `/api/v1/openrouter` on.
    case forward(Range<Int>)
    /// `/v1/responses/{id}` and below: what follows `/responses/`.
    case storedResponse(Range<Int>, Caller.Channel)
    case listFiles(Caller.Channel)
    /// `/v1/files/{id}` and `/v1/files/{id}/content`: what follows `/files/`.
    case file(Range<Int>, Caller.Channel)
    /// A DID asks about itself.
    case own(OwnQuestion)
    case live
    case ready
    /// The path exists for another method.
    case wrongMethod(allowed: String)
    case unknown

    enum Capability: UInt8 {
        case chat = 1
        case completions = 2
        case embeddings = 3
        /// How many tokens a Messages request has: answered with a number, and free.
        case countTokens = 60
        /// Handed on as it came.
        case forward = 55
        case images = 85
        case audio = 86
        case moderations = 87
        case files = 88
        case storedResponses = 89

        var set: CapabilitySet {
            switch self {
            case .chat, .countTokens, .storedResponses: .chat
            case .completions: .completions
            case .embeddings: .embeddings
            case .forward: []
            case .images: .images
            case .audio: .audio
            case .moderations: .moderations
            case .files: .files
            }
        }

        /// The provider's path below its base URL, in the dialect that it is asked in.
        @inline(__always)
        func path(in dialect: Dialect) -> StaticString {
            switch self {
            case .chat:
                switch dialect {
                case .openAI: "/chat/completions"
                case .responses: "/responses"
                case .messages: "/messages"
                }
            case .completions: "/completions"
            case .embeddings: "/embeddings"
            case .countTokens: "/messages/count_tokens"
            // What they have instead is of the operation.
            case .forward, .images, .audio, .moderations, .files, .storedResponses: ""
            }
        }

        /// Whether its answer may be generated text.
        var generates: Bool {
            switch self {
            case .chat, .completions, .forward: true
            case .embeddings, .countTokens, .images, .audio, .moderations, .files, .storedResponses: false
            }
        }

        var word: String {
            switch self {
            case .chat: "chat"
            case .completions: "completions"
            case .embeddings: "embeddings"
            case .countTokens: "counting tokens"
            case .forward: "forwarding"
            case .images: "images"
            case .audio: "audio"
            case .moderations: "moderations"
            case .storedResponses: "responses that are kept"
            case .files: "files"
            }
        }
    }
}

enum RequestRouter {
    /// - Parameters:
    ///   - bytes: the whole head; `path` is the range of the path in it.
    static func target(_ bytes: UnsafeRawBufferPointer, path: Range<Int>, isPost: Bool, isGet: Bool) -> RequestTarget {
        var start = path.lowerBound
        let end = path.upperBound
        if matches(bytes, start, end, Forward.prefix), end - start > 18, bytes[start + 18] == UInt8(ascii: "/") {
            return .forward(start + 18..<end)
        }
        var channel = Caller.Channel.standard
        if matches(bytes, start, end, "/external") {
            (start, channel) = (start + 9, .external)
        } else if matches(bytes, start, end, "/internal") {
            (start, channel) = (start + 9, .internal)
        }
        let found: RequestTarget
        // A base URL with `/v1` and one without lead to the same: SDKs and their users write either.
        let rest = matches(bytes, start, end, "/v1/") ? start + 3 : start
        if isWhole(bytes, rest, end, "/chat/completions") {
            found = .generate(.chat, .openAI, channel)
        } else if isWhole(bytes, rest, end, "/completions") {
            found = .generate(.completions, .openAI, channel)
        } else if isWhole(bytes, rest, end, "/embeddings") {
            found = .generate(.embeddings, .openAI, channel)
        } else if isWhole(bytes, rest, end, "/messages") {
            found = .generate(.chat, .messages, channel)
        } else if isWhole(bytes, rest, end, "/messages/count_tokens") {
            found = .generate(.countTokens, .messages, channel)
        } else if isWhole(bytes, rest, end, "/responses") {
            found = .generate(.chat, .responses, channel)
        } else if let operation = MediaOperation.allCases.first(where: { isWhole(bytes, rest, end, $0.path) }) {
            if operation == .files, !isPost { return isGet ? .listFiles(channel) : .wrongMethod(allowed: "GET, POST") }
            found = .media(operation, channel)
        } else if matches(bytes, rest, end, "/files/"), end - rest > 7 {
            return .file(rest + 7..<end, channel)
        } else if isWhole(bytes, rest, end, "/models") {
            found = .listModels(channel)
        } else if matches(bytes, rest, end, "/models/"), end - rest > 8 {
            found = .showModel(channel, rest + 8..<end)
        } else if matches(bytes, rest, end, "/responses/"), end - rest > 11 {
            return .storedResponse(rest + 11..<end, channel)
        } else if channel == .standard, let question = own(bytes, start, end) {
            found = .own(question)
        } else if isWhole(bytes, start, end, "/health/live") {
            found = .live
        } else if isWhole(bytes, start, end, "/health/ready") {
            found = .ready
        } else {
            return .unknown
        }
        switch found {
        case .generate, .media: return isPost ? found : .wrongMethod(allowed: "POST")
        default: return isGet ? found : .wrongMethod(allowed: "GET, HEAD")
        }
    }

    private static func own(_ bytes: UnsafeRawBufferPointer, _ start: Int, _ end: Int) -> OwnQuestion? {
        if isWhole(bytes, start, end, "/api/v1/usage") { return .told(.usage, query: "") }
        if isWhole(bytes, start, end, "/api/v1/limits") { return .told(.limits, query: "") }
        if isWhole(bytes, start, end, "/api/v1/audit") { return .told(.audit, query: "") }
        if isWhole(bytes, start, end, "/api/v1/health") { return .health }
        return end - start == 1 && bytes[start] == UInt8(ascii: "/") ? .root : nil
    }

    private static func matches(_ bytes: UnsafeRawBufferPointer, _ start: Int, _ end: Int, _ text: StaticString) -> Bool {
        end - start >= text.utf8CodeUnitCount && end <= bytes.count && ByteScan.begins(bytes, at: start, with: text)
    }

    /// One slash at the end is forgiven, as it is by the API that callers know.
    private static func isWhole(_ bytes: UnsafeRawBufferPointer, _ start: Int, _ end: Int, _ text: StaticString) -> Bool {
        guard matches(bytes, start, end, text) else { return false }
        let rest = end - start - text.utf8CodeUnitCount
        return rest == 0 || (rest == 1 && bytes[end - 1] == UInt8(ascii: "/"))
    }
}
