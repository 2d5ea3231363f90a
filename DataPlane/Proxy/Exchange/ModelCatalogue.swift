import Formats

/// GET /v1/models and /v1/models/{id}: what the caller's key may use, in OpenAI's shape, or in Anthropic's for its clients.
enum ModelCatalogue {
    /// - Parameter query: of Anthropic's clients, which ask for a page of the list.
    static func list(for caller: Caller, _ config: CompiledConfig, query: String) throws(Rejection) -> LocalAnswer {
        let models = config.modelList(for: caller.tenant, scopes: caller.scopes)
        if caller.dialect == .messages {
            return LocalAnswer(body: try page(of: models, query), configVersion: config.versionText)
        }
        var body = Array(#"{"object":"list","data":["#.utf8)
        for (index, model) in models.enumerated() {
            if index > 0 { body.append(UInt8(ascii: ",")) }
            body += model.json
        }
        body += Array("]}".utf8)
        return LocalAnswer(body: body, configVersion: config.versionText)
    }

    /// As Anthropic's API pages it: at most `limit` models behind `after_id`, or before `before_id`.
    private static func page(of models: [CompiledModel], _ query: String) throws(Rejection) -> [UInt8] {
        var limit = 20
        var rest = models[...]
        var isBackwards = false
        for pair in query.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let value = percentDecoded((parts.count > 1 ? parts[1] : "").utf8)
            switch parts.first {
            case "limit":
                guard let number = Int(value), (1...1000).contains(number) else {
                    throw .badRequest("invalid_parameter", "limit: has to be a number from 1 to 1000.", param: "limit")
                }
                limit = number
            case "after_id": rest = rest.drop { $0.name <= value }
            case "before_id":
                rest = rest.prefix { $0.name < value }
                isBackwards = true
            default: break
            }
        }
        let page = isBackwards ? rest.suffix(limit) : rest.prefix(limit)
        var body = Array(#"{"data":["#.utf8)
        for (index, model) in page.enumerated() {
            if index > 0 { body.append(UInt8(ascii: ",")) }
            body += model.messagesJSON
        }
        body += Array(#"],"has_more":\#(page.count < rest.count),"first_id":"#.utf8)
        body += page.first.map { JSONText.quoted($0.name) } ?? Array("null".utf8)
        body += Array(#","last_id":"#.utf8)
        body += page.last.map { JSONText.quoted($0.name) } ?? Array("null".utf8)
        body.append(UInt8(ascii: "}"))
        return body
    }

    /// - Parameter name: percent-encoded, as in the path.
    static func show(
        _ name: some Collection<UInt8>, for caller: Caller, _ config: CompiledConfig
    ) throws(Rejection) -> LocalAnswer {
        let decoded = percentDecoded(name)
        guard let model = config.model(named: decoded), model.route != nil, model.isVisible(to: caller.tenant),
            caller.scopes?.allows(model: model.name) ?? true
        else { throw .modelNotFound(String(decoded.prefix(200))) }
        return LocalAnswer(body: caller.dialect == .messages ? model.messagesJSON : model.json, configVersion: config.versionText)
    }

    /// RFC 3986 §2.1; the codec has refused malformed encodings already.
    static func percentDecoded(_ bytes: some Collection<UInt8>) -> String {
        var out: [UInt8] = []
        var index = bytes.startIndex
        while index < bytes.endIndex {
            let byte = bytes[index]
            index = bytes.index(after: index)
            if byte == UInt8(ascii: "%"), let second = bytes.index(index, offsetBy: 2, limitedBy: bytes.endIndex),
                let value = UInt8(String(decoding: bytes[index..<second], as: UTF8.self), radix: 16)
            {
                out.append(value)
                index = second
            } else {
                out.append(byte)
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
