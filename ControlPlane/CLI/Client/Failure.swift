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

    /// What to print on standard error.
    func message(json: Bool) -> String {
        switch self {
        case .refused(_, let problem?, let text) where json && problem["title"] != nil: text
        case .refused(let status, let problem, let text): Self.describe(status: status, problem: problem, text: text)
        case .usage(let message): "error: \(message)"
        case .unreachable(let message): "error: \(message)"
        }
    }

    /// RFC 9457: title, detail, then each field with its remedy.
    private static func describe(status: Int, problem: JSONValue?, text: String) -> String {
        guard let problem, let title = problem.string("title") else {
            let body = text.prefix(200).trimmingCharacters(in: .whitespacesAndNewlines)
            return "error: the server answered \(status), which is no answer of a Weir control plane"
                + (body.isEmpty ? "" : ":\n  \(body.visible)")
        }
        var lines = ["error: \(title.visible) (\(status))"]
        if let detail = problem.string("detail"), !detail.isEmpty, detail != title { lines.append("  \(detail.visible)") }
        let entries = problem.list("errors")
        for entry in entries {
            let field = entry.string("field") ?? ""
            lines.append("  \(field.isEmpty ? "" : field.visible + ": ")\((entry.string("message") ?? "").visible)")
            if let remedy = entry.string("remedy"), !remedy.isEmpty { lines.append("    → \(remedy.visible)") }
        }
        if status == 401 { lines.append("    → give a valid token with `weir login`, --token or WEIR_TOKEN") }
        return lines.joined(separator: "\n")
    }
}
