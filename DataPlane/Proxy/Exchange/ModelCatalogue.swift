import Formats

/// GET /v1/models and /v1/models/{id}: what the caller's key may use, in OpenAI's shape.
enum ModelCatalogue {
    static func list(for caller: Caller, _ config: CompiledConfig) -> LocalAnswer {
        var body = Array(#"{"object":"list","data":["#.utf8)
        for (index, model) in config.modelList(for: caller.tenant, scopes: caller.scopes).enumerated() {
            if index > 0 { body.append(UInt8(ascii: ",")) }
            body += model.json
        }
        body += Array("]}".utf8)
        return LocalAnswer(body: body, configVersion: config.versionText)
    }

    /// - Parameter name: percent-encoded, as in the path.
    static func show(
        _ name: some Collection<UInt8>, for caller: Caller, _ config: CompiledConfig
    ) throws(Rejection) -> LocalAnswer {
        let decoded = percentDecoded(name)
        guard let model = config.model(named: decoded), model.route != nil, model.isVisible(to: caller.tenant),
            caller.scopes?.allows(model: model.name) ?? true
        else { throw .modelNotFound(String(decoded.prefix(200))) }
        return LocalAnswer(body: model.json, configVersion: config.versionText)
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
