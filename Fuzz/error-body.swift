import Formats

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let body = UnsafeRawBufferPointer(start: data, count: count)
    for status in [200, 400, 401, 403, 404, 422, 429, 500] {
        let read = ProviderError.read(status: status, body: body, addedUsageRequest: true)
        require(read.shown == ProviderErrorSanitiser.sanitise(body), "what is shown does not depend on the status")
    }
    guard let error = ProviderErrorSanitiser.sanitise(body) else { return 0 }
    require(error.message.utf8.count <= ProviderErrorSanitiser.maxMessageBytes, "the message is bounded")
    require(!error.message.contains("://"), "no address is left")
    for name in [error.type, error.param, error.code] {
        require(name?.utf8.count ?? 0 <= ProviderErrorSanitiser.maxNameBytes, "names are bounded")
    }
    let written = OpenAIErrors.body(message: error.message, type: error.type ?? "x", param: error.param, code: error.code)
    let again = written.withUnsafeBytes { ProviderErrorSanitiser.sanitise($0) }
    require(again != nil, "what is written can be read")
    return 0
}
