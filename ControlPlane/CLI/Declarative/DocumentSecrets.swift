import Foundation
import Nouns
import Primitives

/// Secrets that a document does not hold itself but says where they are: `secret_env: OPENAI_API_KEY`, `secret_file: openai.key`. They are
/// read here; the control plane knows neither this machine's environment nor its files.
enum DocumentSecrets {
    /// - Parameter folder: Where relative paths begin.
    static func resolved(_ document: JSONObject, folder: URL, environment: [String: String]) throws(FileFault) -> JSONObject {
        var document = document
        for noun in DeclaredNouns.all {
            let path = noun.words.path
            let secrets = noun.shapes.filter { $0.use == .secret }.map(\.name)
            guard !secrets.isEmpty, let items = document[path]?.arrayValue else { continue }
            var out: [JSONValue] = []
            for (index, item) in items.enumerated() {
                guard case .object(var object) = item else {
                    out.append(item)
                    continue
                }
                for name in secrets { try resolve(name, in: &object, at: "\(path)[\(index)]", folder, environment) }
                out.append(.object(object))
            }
            document[path] = .array(out)
        }
        return document
    }

    private static func resolve(
        _ name: String, in object: inout JSONObject, at place: String, _ folder: URL, _ environment: [String: String]
    ) throws(FileFault) {
        let sources = [name, "\(name)_env", "\(name)_file"].filter { object[$0] != nil }
        guard sources.count <= 1 else { throw FileFault("\(place): give one of \(sources.joined(separator: ", "))") }
        guard let source = sources.first, source != name else { return }
        guard let text = object[source]?.stringValue, !text.isEmpty else { throw FileFault("\(place).\(source) is no text") }
        let value: String
        if source.hasSuffix("_env") {
            guard let found = environment[text].nonEmpty else {
                throw FileFault(
                    "\(place).\(source): the environment variable \(text.visible) is not set. Without \(source) the stored secret stays")
            }
            value = found
        } else {
            let file = URL(fileURLWithPath: text, relativeTo: folder).path
            guard let bytes = try? YAMLFile.read(file, atMost: 65_536), let found = String(validating: bytes, as: UTF8.self) else {
                throw FileFault("\(place).\(source): cannot read \(file.visible) as a text of at most 64 KiB")
            }
            value = found
        }
        object[source] = nil
        object[name] = .string(value.trimmingCharacters(in: .whitespacesAndNewlines))
    }
}

extension YAMLFile {
    /// A file's bytes; `-` is standard input. No more is read than one byte beyond the limit.
    /// - Parameter remedy: What to do about a file that has more.
    static func read(
        _ path: String, atMost limit: Int = maximumBytes, remedy: String? = inParts
    ) throws(FileFault) -> [UInt8] {
        do {
            let handle = path == "-" ? FileHandle.standardInput : try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            var bytes: [UInt8] = []
            while bytes.count <= limit, let data = try handle.read(upToCount: limit + 1 - bytes.count), !data.isEmpty { bytes += data }
            guard bytes.count <= limit else {
                throw FileFault("has more than \(limit) bytes" + (remedy.map { ". \($0)" } ?? ""))
            }
            return bytes
        } catch let fault as FileFault {
            throw fault
        } catch {
            throw FileFault("cannot be read: \(error.localizedDescription)")
        }
    }
}
