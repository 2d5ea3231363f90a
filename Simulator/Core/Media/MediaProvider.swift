import NIOCore
import Primitives

/// OpenAI's operations on images, sound and moderation, which refuse what OpenAI refuses. What a model states as its usage is in its name:
/// `-tokens` (images and transcriptions as newer models count them), `-duration` (transcriptions by their length); anything else says nothing.
enum MediaProvider {
    struct Refusal: Error {
        var message: String
        var param: String?
        var status = 400

        var json: String {
            let param = param.map { JSONValue.string($0).text } ?? "null"
            return
                #"{"error":{"message":\#(JSONValue.string(message).text),"type":"invalid_request_error","param":\#(param),"code":null}}"#
        }
    }

    struct Reply {
        var type: String
        var body: [UInt8]

        static func json(_ text: String) -> Reply { Reply(type: "application/json", body: Array(text.utf8)) }

        var response: ByteBuffer {
            ByteBuffer(
                bytes: Array("HTTP/1.1 200 OK\r\ncontent-type: \(type)\r\ncontent-length: \(body.count)\r\n\r\n".utf8) + body)
        }
    }

    /// Nil for a path that is none of these.
    static func respond(_ path: String, contentType: String, _ body: [UInt8]) throws(Refusal) -> Reply? {
        switch path {
        case "/images/generations":
            let root = try object(
                body,
                [
                    "model", "prompt", "n", "size", "quality", "response_format", "style", "user", "stream", "partial_images", "background",
                    "moderation", "output_compression", "output_format",
                ])
            guard let prompt = root["prompt"]?.stringValue, !prompt.isEmpty else { throw missing("prompt") }
            return try images(
                model: root["model"]?.stringValue ?? "dall-e-2", prompt: prompt, count: root["n"]?.intValue ?? 1, images: 0,
                streams: root["stream"]?.boolValue ?? false)
        case "/images/edits", "/images/variations":
            let form = try SimulatedForm(contentType, body)
            let isEdit = path == "/images/edits"
            let images = form.fileCounts["image", default: 0] + form.fileCounts["image[]", default: 0]
            guard images > 0 else { throw missing("image") }
            if isEdit, form.fields["prompt"]?.isEmpty ?? true { throw missing("prompt") }
            if !isEdit, form.fields["prompt"] != nil { throw Refusal(message: "Unknown parameter: 'prompt'.", param: "prompt") }
            return try Self.images(
                model: form.fields["model"] ?? "dall-e-2", prompt: form.fields["prompt"] ?? "", count: Int64(form.fields["n"] ?? "1") ?? 0,
                images: Int64(images), streams: form.fields["stream"] == "true")
        case "/audio/speech":
            let root = try object(body, ["model", "input", "voice", "instructions", "response_format", "speed", "stream_format"])
            guard root["model"]?.stringValue != nil else { throw missing("model") }
            guard let input = root["input"]?.stringValue, !input.isEmpty else { throw missing("input") }
            guard root["voice"] != nil else { throw missing("voice") }
            guard input.unicodeScalars.count <= 4096 else {
                throw Refusal(message: "Invalid 'input': string too long. Expected a string with maximum length 4096.", param: "input")
            }
            if root["stream_format"]?.stringValue == "sse" { return speechStream(input) }
            // As many bytes as show that nothing of it was changed, some of them no text.
            let sound = (0..<input.unicodeScalars.count * 100).map { UInt8(truncatingIfNeeded: $0 &* 31) | 0x80 }
            return Reply(type: "audio/mpeg", body: Array("ID3".utf8) + sound)
        case "/audio/transcriptions", "/audio/translations":
            let form = try SimulatedForm(contentType, body)
            guard let bytes = form.files["file"] else { throw missing("file") }
            guard let model = form.fields["model"] else { throw missing("model") }
            if path == "/audio/translations", form.fields["language"] != nil {
                throw Refusal(message: "Unknown parameter: 'language'.", param: "language")
            }
            return try transcription(model: model, bytes: Int64(bytes), form)
        case "/moderations":
            let root = try object(body, ["model", "input"])
            guard let input = root["input"] else { throw missing("input") }
            let count = input.arrayValue?.count ?? 1
            let result =
                #"{"flagged":false,"categories":{"violence":false},"category_scores":{"violence":0.01},"category_applied_input_types":{"violence":["text"]}}"#
            return .json(
                #"{"id":"modr-1","model":"omni-moderation-latest","results":[\#(Array(repeating: result, count: count).joined(separator: ","))]}"#
            )
        default: return nil
        }
    }

    private static func images(model: String, prompt: String, count: Int64, images: Int64, streams: Bool) throws(Refusal) -> Reply {
        guard (1...10).contains(count) else { throw Refusal(message: "Invalid 'n': must be between 1 and 10.", param: "n") }
        let text = Int64(prompt.utf8.count / 4 + 1)
        let output = count * 272
        let usage =
            #"{"input_tokens":\#(text + images * 323),"input_tokens_details":{"text_tokens":\#(text),"image_tokens":\#(images * 323)},"#
            + #""output_tokens":\#(output),"total_tokens":\#(text + images * 323 + output)}"#
        // A picture that fills more than one read of anybody's.
        let picture = String(repeating: "iVBORw0KGgo/", count: model.contains("large") ? 200_000 : 12)
        let states = model.contains("tokens")
        guard !streams else {
            let last =
                #"{"type":"image_generation.completed","b64_json":"\#(picture)","created_at":1750000000,"size":"1024x1024","usage":\#(usage)}"#
            let part = #"{"type":"image_generation.partial_image","b64_json":"\#(picture)","partial_image_index":0}"#
            let events = [("image_generation.partial_image", part), ("image_generation.completed", last)]
            return Reply(
                type: "text/event-stream", body: Array(events.map { "event: \($0)\ndata: \($1)\n\n" }.joined().utf8))
        }
        let data = Array(repeating: #"{"b64_json":"\#(picture)"}"#, count: Int(count)).joined(separator: ",")
        return .json(#"{"created":1750000000,"data":[\#(data)]"# + (states ? #","usage":\#(usage)}"# : "}"))
    }

    private static func speechStream(_ input: String) -> Reply {
        let tokens = Int64(input.unicodeScalars.count)
        let usage = #"{"input_tokens":\#(tokens),"output_tokens":\#(tokens * 5),"total_tokens":\#(tokens * 6)}"#
        let events =
            #"data: {"type":"speech.audio.delta","audio":"SUQz"}"# + "\n\n" + #"data: {"type":"speech.audio.done","usage":\#(usage)}"#
            + "\n\n"
        return Reply(type: "text/event-stream", body: Array(events.utf8))
    }

    private static func transcription(model: String, bytes: Int64, _ form: SimulatedForm) throws(Refusal) -> Reply {
        let seconds = max(1, bytes / 1000)
        let usage =
            model.contains("tokens")
            ? #"{"type":"tokens","input_tokens":\#(seconds * 10),"input_token_details":{"text_tokens":0,"audio_tokens":\#(seconds * 10)},"output_tokens":7,"total_tokens":\#(seconds * 10 + 7)}"#
            : model.contains("duration") ? #"{"type":"duration","seconds":\#(seconds)}"# : nil
        let stated = usage.map { #","usage":\#($0)"# } ?? ""
        if form.fields["stream"] == "true" {
            guard model.contains("tokens") else { throw Refusal(message: "Streaming is not supported for this model.", param: "stream") }
            let events =
                #"data: {"type":"transcript.text.delta","delta":"alpha bravo"}"# + "\n\n"
                + #"data: {"type":"transcript.text.done","text":"alpha bravo"\#(stated)}"# + "\n\n"
            return Reply(type: "text/event-stream", body: Array(events.utf8))
        }
        switch form.fields["response_format"] ?? "json" {
        case "json": return .json(#"{"text":"alpha bravo"\#(stated)}"#)
        case "verbose_json":
            return .json(
                #"{"task":"transcribe","language":"english","duration":\#(seconds).0,"text":"alpha bravo","segments":[]\#(stated)}"#)
        case "text", "srt", "vtt": return Reply(type: "text/plain", body: Array("alpha bravo\n".utf8))
        default: throw Refusal(message: "Invalid value for 'response_format'.", param: "response_format")
        }
    }

    private static func missing(_ param: String) -> Refusal {
        Refusal(message: "Missing required parameter: '\(param)'.", param: param)
    }

    private static func object(_ body: [UInt8], _ known: Set<String>) throws(Refusal) -> JSONObject {
        guard let parsed = try? JSONValue(parsing: body), case .object(let root) = parsed else {
            throw Refusal(message: "We could not parse the JSON body of your request.")
        }
        for member in root.members where !known.contains(member.name) {
            throw Refusal(message: "Unknown parameter: '\(member.name)'.", param: member.name)
        }
        return root
    }
}

/// A form, read by a reader of the simulator's own: the check on what a gateway made of it. Files are counted by their bytes.
struct SimulatedForm {
    var fields: [String: String] = [:]
    var files: [String: Int] = [:]
    var fileCounts: [String: Int] = [:]
    /// Of the last file.
    var content: [UInt8] = []
    var fileName = ""

    init(_ contentType: String, _ body: [UInt8]) throws(MediaProvider.Refusal) {
        guard contentType.hasPrefix("multipart/form-data"), let mark = contentType.range(ofText: "boundary=") else {
            throw MediaProvider.Refusal(message: "Invalid Content-Type header (\(contentType)), expected multipart/form-data.", status: 415)
        }
        let boundary = String(contentType[mark...].prefix { $0 != ";" }).filter { $0 != "\"" }
        let delimiter = Array("\r\n--\(boundary)".utf8)
        // With a line end before it the first boundary is like the others.
        let parts = Self.split([13, 10] + body, by: delimiter)
        guard parts.count > 2, parts.first?.isEmpty == true, parts.last?.starts(with: [0x2D, 0x2D]) == true else {
            throw MediaProvider.Refusal(message: "Could not parse multipart form.")
        }
        for part in parts.dropFirst().dropLast() {
            let pieces = Self.split(part, by: [13, 10, 13, 10], most: 2)
            guard pieces.count == 2 else { throw MediaProvider.Refusal(message: "Could not parse multipart form.") }
            let head = String(decoding: pieces[0], as: UTF8.self)
            guard let name = Self.parameter("name", head) else { throw MediaProvider.Refusal(message: "Could not parse multipart form.") }
            if let file = Self.parameter("filename", head) {
                files[name, default: 0] += pieces[1].count
                fileCounts[name, default: 0] += 1
                (content, fileName) = (pieces[1], file)
            } else {
                guard fields.updateValue(String(decoding: pieces[1], as: UTF8.self), forKey: name) == nil else {
                    throw MediaProvider.Refusal(message: "Duplicate parameter: '\(name)'.", param: name)
                }
            }
        }
    }

    private static func parameter(_ name: String, _ head: String) -> String? {
        guard let start = head.range(ofText: " \(name)=\"") else { return nil }
        return String(head[start...].prefix { $0 != "\"" })
    }

    private static func split(_ bytes: [UInt8], by mark: [UInt8], most: Int = .max) -> [[UInt8]] {
        var parts: [[UInt8]] = []
        var start = 0
        var at = 0
        while at + mark.count <= bytes.count, parts.count < most - 1 {
            if bytes[at] == mark[0], bytes[at..<at + mark.count].elementsEqual(mark) {
                parts.append(Array(bytes[start..<at]))
                at += mark.count
                start = at
            } else {
                at += 1
            }
        }
        parts.append(Array(bytes[start...]))
        return parts
    }
}

extension String {
    /// Behind the first place where the text stands.
    fileprivate func range(ofText text: String) -> String.Index? {
        var at = startIndex
        while at < endIndex {
            if self[at...].hasPrefix(text) { return index(at, offsetBy: text.count) }
            at = index(after: at)
        }
        return nil
    }
}
