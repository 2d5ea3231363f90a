import NIOCore
import Primitives
import Synchronization

/// The responses of the simulated provider's accounts, a credential each: whoever has the credential reads, deletes and goes on from all of them,
/// as at OpenAI. Models with the word `kept` make them.
final class KeptResponses: Sendable {
    struct Kept {
        let credential: String
        let document: String
        /// As the request had it.
        let input: JSONValue
        /// Of it and all before it.
        let tokens: Int64
    }

    private let kept = Mutex<(count: Int, byID: [String: Kept])>((0, [:]))

    /// Bounds what a caller can make the simulator keep.
    private static let maximumKept = 4096

    func find(_ id: String, _ credential: String) -> Kept? {
        kept.withLock { $0.byID[id] }.flatMap { $0.credential == credential ? $0 : nil }
    }

    func newID() -> String {
        kept.withLock { kept in
            kept.count += 1
            return "resp_sim\(kept.count)"
        }
    }

    func keep(_ response: Kept, as id: String) {
        kept.withLock { kept in
            if kept.byID.count >= Self.maximumKept { kept.byID.removeAll() }
            kept.byID[id] = response
        }
    }

    /// - Parameter path: behind `/responses/`.
    func respond(method: String, _ path: String, _ credential: String) throws(ResponsesRequest.Refusal) -> (status: Int, body: String) {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard let id = parts.first, let response = find(id, credential) else {
            throw ResponsesRequest.Refusal(message: "Response with id '\(parts.first ?? "")' not found.", status: 404)
        }
        switch (method, parts.dropFirst().joined(separator: "/")) {
        case ("GET", ""): return (200, response.document)
        case ("DELETE", ""):
            kept.withLock { $0.byID[id] = nil }
            return (200, #"{"id":"\#(id)","object":"response","deleted":true}"#)
        case ("GET", "input_items"):
            let content = response.input.stringValue.map { JSONValue.string($0).text } ?? #""several""#
            let item =
                #"{"id":"msg_in","type":"message","role":"user","content":[{"type":"input_text","text":\#(content)}]}"#
            return (200, #"{"object":"list","data":[\#(item)],"first_id":"msg_in","last_id":"msg_in","has_more":false}"#)
        case ("POST", "cancel"):
            throw ResponsesRequest.Refusal(message: "Only background responses can be cancelled; '\(id)' is none.", param: "response_id")
        default: throw ResponsesRequest.Refusal(message: "Not allowed.", status: 405)
        }
    }
}
