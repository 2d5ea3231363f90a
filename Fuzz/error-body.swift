import Formats

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard let error = ProviderErrorSanitiser.sanitise(UnsafeRawBufferPointer(start: data, count: count)) else { return 0 }
    require(error.message.utf8.count <= ProviderErrorSanitiser.maxMessageBytes, "the message is bounded")
    require(!error.message.contains("://"), "no address is left")
    for name in [error.type, error.param, error.code] {
        require(name?.utf8.count ?? 0 <= ProviderErrorSanitiser.maxNameBytes, "names are bounded")
    }
    let body = OpenAIErrors.body(message: error.message, type: error.type ?? "x", param: error.param, code: error.code)
    let again = body.withUnsafeBytes { ProviderErrorSanitiser.sanitise($0) }
    require(again != nil, "what is written can be read")
    return 0
}
