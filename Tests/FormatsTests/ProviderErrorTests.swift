import Formats
import Testing

@Suite("A provider's error")
struct ProviderErrorTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let status: Int
        let body: String
        let concern: ProviderError.Concern
        var addedUsageRequest = false
        var testDescription: String { "\(status) \(body)" }
    }

    @Test(
        "says what it is about, by its status, its names and its words",
        arguments: [
            Case(status: 400, body: #"{"error":{"message":"Invalid value for temperature","param":"temperature"}}"#, concern: .request),
            Case(status: 400, body: #"{"error":{"message":"Blocked","code":"content_filter"}}"#, concern: .content),
            Case(status: 400, body: #"{"error":{"message":"API key not valid. Please pass a valid API key."}}"#, concern: .credential),
            Case(status: 400, body: #"{"error":{"message":"foo/bar is not a valid model ID","code":400}}"#, concern: .model),
            Case(status: 400, body: #"{"error":{"message":"Your credit balance is too low to access the API."}}"#, concern: .account),
            Case(
                status: 401, body: #"{"error":{"message":"Incorrect API key provided: sk-x","code":"invalid_api_key"}}"#,
                concern: .credential),
            Case(status: 401, body: "<html>", concern: .credential),
            Case(
                status: 401,
                body: #"{"error":{"message":"You have insufficient permissions for this operation. Missing scopes: model.request."}}"#,
                concern: .scope),
            Case(status: 402, body: #"{"error":{"message":"Insufficient credits","code":402}}"#, concern: .account),
            Case(status: 402, body: "", concern: .account),
            Case(
                status: 403,
                body: #"{"error":{"message":"Your input was flagged","code":403,"metadata":{"reasons":["violence"],"flagged_input":"x"}}}"#,
                concern: .content),
            Case(
                status: 403, body: #"{"error":{"message":"Input refused by moderation: 'invalid api key'","code":null}}"#, concern: .content
            ),
            // The caller's words, quoted, are not the provider's.
            Case(status: 403, body: #"{"error":{"message":"We do not answer \"incorrect api key\" here"}}"#, concern: .unknown),
            Case(
                status: 400,
                body: #"{"error":{"message":"Invalid value: 'x' incorrect api key ''. Try 'user'.","param":"messages[0].role"}}"#,
                concern: .request),
            Case(status: 400, body: #"{"error":{"message":"Bad role 'x' incorrect api key ' given"}}"#, concern: .request),
            Case(status: 400, body: #"{"error":{"message":"Bad role \"it's an unknown model"}}"#, concern: .request),
            Case(
                status: 422, body: #"{"detail":[{"loc":["body","messages",0,"role"],"msg":"no such role: billing"}]}"#, concern: .request),
            Case(
                status: 400,
                body:
                    #"{"error":{"message":"Bad role '\#(String(repeating: "a", count: 1_990))' incorrect api key \#(String(repeating: "b", count: 99))'"}}"#,
                concern: .request),
            Case(status: 403, body: #"{"error":{"message":"Nope","type":"authentication_error"}}"#, concern: .credential),
            Case(status: 403, body: #"{"error":{"message":"Country not supported","code":"unsupported_country"}}"#, concern: .unknown),
            Case(
                status: 403, body: #"{"error":{"message":"Project `p` does not have access to model `m`","code":"model_not_found"}}"#,
                concern: .model),
            Case(status: 404, body: #"{"error":{"message":"The model `gpt-9` does not exist","code":"model_not_found"}}"#, concern: .model),
            Case(status: 404, body: #"{"object":"error","message":"The model `a` does not exist.","code":404}"#, concern: .model),
            Case(
                status: 404, body: #"{"error":{"code":"DeploymentNotFound","message":"The API deployment is missing."}}"#, concern: .model),
            Case(status: 404, body: #"{"detail":"Not Found"}"#, concern: .endpoint),
            Case(status: 404, body: #"{"error":{"message":"No such file","param":"messages[0].file_id"}}"#, concern: .request),
            Case(status: 424, body: "", concern: .endpoint),
            Case(status: 429, body: #"{"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}"#, concern: .rateLimit),
            Case(status: 429, body: #"{"error":{"message":"You exceeded","code":"insufficient_quota"}}"#, concern: .account),
            Case(status: 429, body: #"{"error":{"message":"Quota exceeded for metric requests per minute"}}"#, concern: .rateLimit),
            Case(status: 500, body: "", concern: .fault), Case(status: 529, body: "", concern: .fault),
            Case(
                status: 400, body: #"{"error":{"message":"Unknown parameter: 'stream_options'.","param":"stream_options"}}"#,
                concern: .addedMember, addedUsageRequest: true),
            Case(
                status: 400, body: #"{"error":{"message":"Unknown parameter: 'stream_options'.","param":"stream_options"}}"#,
                concern: .request),
            Case(
                status: 422,
                body: #"{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}"#,
                concern: .addedMember, addedUsageRequest: true),
            Case(
                status: 422, body: #"{"detail":[{"loc":["body","top_k"],"msg":"Extra inputs are not permitted"}]}"#, concern: .request,
                addedUsageRequest: true),
            Case(status: 422, body: #"{"detail":"Extra inputs are not permitted"}"#, concern: .addedMember, addedUsageRequest: true),
        ])
    func concern(_ expected: Case) {
        let error = Array(expected.body.utf8).withUnsafeBytes {
            ProviderError.read(status: expected.status, body: $0, addedUsageRequest: expected.addedUsageRequest)
        }
        #expect(error.concern == expected.concern)
        #expect(error.status == expected.status)
    }

    /// In the words of OpenAI, Azure, Groq, Mistral, Anthropic and xAI.
    @Test(
        "names what of a request a model does not take, and not what no model takes",
        arguments: [
            (
                400,
                #"{"error":{"message":"Unsupported parameter: 'reasoning_effort' is not supported with this model.","param":"reasoning_effort"}}"#,
                .effort, true
            ),
            (
                400, #"{"error":{"message":"Unrecognized request argument supplied: reasoning_effort","param":null,"code":null}}"#, .effort,
                true
            ),
            (
                400,
                #"{"error":{"message":"Unsupported value: 'reasoning_effort' does not support 'max'.","param":"reasoning_effort","code":"unsupported_value"}}"#,
                .effort, false
            ),
            (
                400,
                #"{"error":{"message":"Unsupported value: 'temperature' does not support 0.2. Only 1 is.","param":"temperature","code":"unsupported_value"}}"#,
                .temperature, true
            ),
            (
                400,
                #"{"error":{"message":"Invalid 'temperature': above the maximum of 2.","param":"temperature","code":"decimal_above_max_value"}}"#,
                [], true
            ),
            (
                400, #"{"error":{"message":"'messages.2' : property 'reasoning_content' is unsupported","type":"invalid_request_error"}}"#,
                .reasoning, true
            ),
            (
                422, #"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","user"],"msg":"Extra inputs"}]}}"#,
                .user, true
            ),
            (
                400, #"{"type":"error","error":{"type":"invalid_request_error","message":"`temperature` is deprecated for this model."}}"#,
                .temperature, true
            ),
            (400, #"{"error":{"message":"`temperature` and `top_p` cannot both be specified for this model."}}"#, .topP, true),
            (400, #"{"error":{"message":"\"thinking.type.disabled\" is not supported for this model."}}"#, .effort, true),
            (400, #"{"error":{"message":"Model grok-4 does not support parameter reasoningEffort."}}"#, .effort, true),
            (400, #"{"error":{"message":"The user is not supported here."}}"#, [], true),
            (400, #"{"error":{"message":"service_tier: priority is not supported","param":"service_tier"}}"#, [], true),
            (400, #"{"error":{"message":"The compiled grammar is too large. Reduce the number of strict tools."}}"#, .strict, false),
            (400, #"{"error":{"message":"output_config.format.schema: 'minItems' is not supported"}}"#, .strict, false),
            (
                400, #"{"error":{"message":"Unknown parameter.","param":"tools[0].function.strict","code":"unknown_parameter"}}"#, .strict,
                false
            ),
            (500, #"{"error":{"message":"reasoning_effort is not supported"}}"#, [], true),
        ] as [(Int, String, OptionalMembers, Bool)])
    func refusedMembers(status: Int, body: String, members: OptionalMembers, anyValue: Bool) {
        let error = Array(body.utf8).withUnsafeBytes {
            ProviderError.read(status: status, body: $0, optional: [.effort, .temperature, .topP, .user, .reasoning, .strict])
        }
        #expect(error.refusedMembers == members)
        if !members.isEmpty { #expect(error.refusesAnyValue == anyValue) }
    }

    @Test(
        "proves by its status, type, code or parameter what it is about, and by its message nothing",
        arguments: [
            (401, #"{"error":{"message":"nope"}}"#, true), (401, "<html>", true),
            (401, #"{"error":{"message":"Missing scopes: model.request."}}"#, true),
            (402, #"{"error":{"message":"nope"}}"#, true), (404, #"{"error":{"message":"no such model"}}"#, true),
            (400, #"{"error":{"message":"API key not valid. Please pass a valid API key."}}"#, false),
            (400, #"{"error":{"message":"Nope","code":"API_KEY_INVALID"}}"#, true),
            (400, #"{"error":{"message":"Bad role: incorrect api key"}}"#, false),
            (400, #"{"error":{"message":"Your credit balance is too low to access the API."}}"#, false),
            (400, #"{"error":{"message":"No model x, unknown model"}}"#, false),
            (400, #"{"error":{"message":"unknown model x","param":"model"}}"#, true),
            (403, #"{"error":{"message":"we do not discuss an invalid api key here"}}"#, false),
            (403, #"{"error":{"message":"we do not discuss an invalid api key here","type":"authentication_error"}}"#, true),
            (403, #"{"error":{"message":"missing scope"}}"#, false),
            (403, #"{"error":{"message":"no","code":"model_not_found"}}"#, true),
            (429, #"{"error":{"message":"You exceeded your current quota"}}"#, false),
            (429, #"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#, true),
        ])
    func proof(status: Int, body: String, isProven: Bool) {
        let error = Array(body.utf8).withUnsafeBytes { ProviderError.read(status: status, body: $0) }
        #expect(error.isProven == isProven, "\(error.concern)")
    }
}
