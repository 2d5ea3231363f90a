import Foundation
import Primitives

/// Why a command ends without having done its work, and the exit code that says so.
enum Failure: Error {
    /// The API said no.
    case refused(status: Int, problem: JSONValue?, text: String)
    /// The command line asks for something that makes no sense or lacks something.
    case usage(String)
    /// No answer, or none from a control plane.
    case unreachable(String)

    var exitCode: Int32 {
        switch self {
        case .refused: 1
        case .usage: 2
        case .unreachable: 3
        }
    }

    /// Whether the control plane is away or busy: what may be otherwise in a moment.
    var mayPass: Bool {
        switch self {
        case .unreachable: true
        case .refused(let status, _, _): status == 429 || status >= 500
        case .usage: false
        }
    }

    /// What to print on standard error.
    func message(json: Bool) -> String {
        switch self {
        case .refused(_, let problem?, let text) where json && problem["title"] != nil: text
        case .refused(let status, let problem, let text): Self.describe(status: status, problem: problem, text: text)
        case .usage(let message): "error: \(message)"
        case .unreachable(let message): "error: \(message)"
        }
    }

    /// What is wrong, once, and what to do about it (RFC 9457: where the fields are told one by one, the detail only repeats them).
    private static func describe(status: Int, problem: JSONValue?, text: String) -> String {
        guard let problem, let title = problem.string("title") else {
            let body = text.prefix(200).trimmingCharacters(in: .whitespacesAndNewlines)
            return "error: the server answered \(status), which is no answer of a Weir control plane"
                + (body.isEmpty ? "" : ":\n  \(body.visible)")
        }
        if status == 412 {
            return "error: it was changed in the meantime (412)\n  → look at it again and, if that is still right, repeat the command"
        }
        let detail = problem.string("detail").nonEmpty
        let entries = problem.list("errors")
        // A summary of several things says more than any of them.
        let isRepeated = entries.allSatisfy { entry in entry.string("message").map { (detail ?? "").contains($0) } ?? false }
        var lines: [String]
        if entries.count == 1, isRepeated, let entry = entries.first {
            lines = ["error: \(sentence(entry)) (\(status))"] + remedy(entry, indent: "  ")
        } else {
            let head = isRepeated && !entries.isEmpty ? title : detail ?? title
            lines = ["error: \(head.trimmingSuffix(".").visible) (\(status))"]
            for entry in entries { lines += ["  \(sentence(entry))"] + remedy(entry, indent: "    ") }
        }
        if status == 401 { lines.append("  → `weir login` with a valid token, or give one in WEIR_TOKEN; `weir doctor` tells more") }
        return lines.joined(separator: "\n")
    }

    private static func sentence(_ entry: JSONValue) -> String {
        let (field, message) = (entry.string("field") ?? "", entry.string("message") ?? "")
        return (field.isEmpty ? message : "\(field): \(message)").visible
    }

    private static func remedy(_ entry: JSONValue, indent: String) -> [String] {
        entry.string("remedy").nonEmpty.map { ["\(indent)→ \($0.visible)"] } ?? []
    }
}
