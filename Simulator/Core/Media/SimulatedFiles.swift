import NIOCore
import Primitives
import Synchronization

/// The files of the simulated provider's account: whoever has its key reads and deletes them all, as at OpenAI.
final class SimulatedFiles: Sendable {
    private struct File {
        var name: String
        var purpose: String
        var content: [UInt8]
    }

    private let files = Mutex<(count: Int, byID: [String: File])>((0, [:]))

    func create(_ contentType: String, _ body: [UInt8]) throws(MediaProvider.Refusal) -> MediaProvider.Reply {
        let form = try SimulatedForm(contentType, body)
        guard let purpose = form.fields["purpose"] else {
            throw MediaProvider.Refusal(message: "Missing required parameter: 'purpose'.", param: "purpose")
        }
        guard ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"].contains(purpose) else {
            throw MediaProvider.Refusal(message: "Invalid value for purpose.", param: "purpose")
        }
        guard form.files["file"] != nil else { throw MediaProvider.Refusal(message: "Missing required parameter: 'file'.", param: "file") }
        for field in form.fields.keys where field != "purpose" && !field.hasPrefix("expires_after") {
            throw MediaProvider.Refusal(message: "Unknown parameter: '\(field)'.", param: field)
        }
        let file = File(name: form.fileName, purpose: purpose, content: form.content)
        let id = files.withLock { files in
            files.count += 1
            let id = "file-sim\(files.count)"
            files.byID[id] = file
            return id
        }
        return .json(Self.json(id, file))
    }

    /// - Parameter path: Behind `/files/`.
    func respond(method: String, _ path: Substring) throws(MediaProvider.Refusal) -> MediaProvider.Reply {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        let id = parts.first.map(String.init) ?? ""
        guard let file = files.withLock({ $0.byID[id] }), parts.count == 1 || (parts.count == 2 && parts[1] == "content") else {
            throw MediaProvider.Refusal(message: "No such File object: \(id)", param: "id", status: 404)
        }
        if parts.count == 2 { return MediaProvider.Reply(type: "application/octet-stream", body: file.content) }
        guard method == "DELETE" else { return .json(Self.json(id, file)) }
        files.withLock { $0.byID[id] = nil }
        return .json(#"{"id":"\#(id)","object":"file","deleted":true}"#)
    }

    func has(_ id: String) -> Bool { files.withLock { $0.byID[id] != nil } }

    private static func json(_ id: String, _ file: File) -> String {
        #"{"object":"file","id":"\#(id)","purpose":\#(JSONValue.string(file.purpose).text),"filename":\#(JSONValue.string(file.name).text),"#
            + #""bytes":\#(file.content.count),"created_at":1750000000,"status":"processed","status_details":null}"#
    }
}
