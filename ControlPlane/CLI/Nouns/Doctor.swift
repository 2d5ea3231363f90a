import ArgumentParser
import Foundation
import Primitives

/// What is wrong and what to do about it: what the control plane finds, and what only this machine can see.
struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say what is wrong and which command mends it. Ends with 1 when something is; notices alone do not count.",
        discussion: example("doctor", "doctor --context staging -o json"))

    @OptionGroup var connection: ConnectionOptions

    struct Finding: Sendable, Hashable {
        let severity: String
        let code: String
        let subject: String
        let message: String
        let command: String

        init(_ severity: String, _ code: String, _ subject: String, _ message: String, command: String) {
            self.severity = severity
            self.code = code
            self.subject = subject
            self.message = message
            self.command = command
        }

        init(_ json: JSONValue) {
            func text(_ name: String) -> String { (json.string(name) ?? "").visible }
            self.init(text("severity"), text("code"), text("subject"), text("message"), command: text("command"))
        }

        var json: JSONValue {
            [
                "severity": .string(severity), "code": .string(code), "subject": .string(subject), "message": .string(message),
                "command": .string(command),
            ]
        }

        var isWrong: Bool { severity != "notice" }
    }

    func run() async throws {
        let findings = try await examine()
        let wrong = findings.filter(\.isWrong).count
        let answer = Answer([
            "ok": .bool(wrong == 0), "items": .array(findings.map(\.json)), "next_cursor": .null,
        ])
        try connection.emit(answer) { Self.text(findings) }
        if wrong > 0 { throw ExitCode(1) }
    }

    static func text(_ findings: [Finding]) -> String {
        guard !findings.isEmpty else { return "Everything is in order." }
        let lines = findings.map { "\($0.severity)  \($0.subject): \($0.message)\n  → \($0.command)" }
        let wrong = findings.filter(\.isWrong).count
        let sum = wrong == 0 ? "Nothing is wrong; \(findings.count) to note." : "\(wrong) of \(findings.count) findings need mending."
        return (lines + ["", sum]).joined(separator: "\n")
    }

    private func examine() async throws -> [Finding] {
        var findings = Self.findings(ofFile: Contexts.file.path)
        let target: ConnectionOptions.Target
        do {
            target = try connection.target()
        } catch let failure as Failure {
            let message = failure.message(json: false)
            return findings + [Finding("error", "login_unusable", "login", message, command: "weir context list")]
        }
        guard target.token != nil else {
            let words = "there is no token for \(target.url)"
            return findings + [Finding("error", "token_missing", "login", words, command: "weir login --url \(target.url)")]
        }
        do {
            let client = try ConnectionOptions.client(target)
            let who = try await client.whoAmI().json
            findings += Self.findings(of: who, target, now: SystemClock().nowMilliseconds())
            let before = SystemClock().nowMilliseconds()
            let status = try await client.send("GET", "status").json
            let after = SystemClock().nowMilliseconds()
            findings += Self.findings(of: status, from: before, to: after) + status.list("findings").map(Finding.init)
        } catch let failure as Failure {
            findings.append(Self.finding(of: failure, target))
        }
        return findings
    }

    /// Others may read the token.
    static func findings(ofFile path: String) -> [Finding] {
        guard let mode = (try? FileManager.default.attributesOfItem(atPath: path))?[.posixPermissions] as? Int, mode & 0o077 != 0 else {
            return []
        }
        return [Finding("warning", "login_readable", path, "others than its owner may read the tokens in it", command: "chmod 600 \(path)")]
    }

    /// Why nothing more could be asked.
    static func finding(of failure: Failure, _ target: ConnectionOptions.Target) -> Finding {
        let message = failure.message(json: false).split(separator: "\n").first.map(String.init) ?? ""
        let words = message.hasPrefix("error: ") ? String(message.dropFirst(7)) : message
        return switch failure {
        case .unreachable:
            Finding(
                "error", "unreachable", "control plane", words,
                command: "weir-control serve    # if it is yours to start; else correct --url, WEIR_URL or `weir context use`")
        case .refused(401, _, _):
            Finding(
                "error", "token_refused", "login", "the token for \(target.url) is wrong, or has expired or was deleted",
                command: "weir login \(target.context.map { "--context \($0)" } ?? "--url \(target.url)")")
        case .refused(404, _, _):
            Finding(
                "error", "control_plane_old", "control plane", "it is older than this command line, or no control plane: \(words)",
                command: "weir-control --version    # there")
        case .refused(let status, _, _) where status >= 500:
            Finding("error", "control_plane_unwell", "control plane", words, command: "curl \(target.url)/health/ready")
        case .refused, .usage:
            Finding("error", "refused", "control plane", words, command: "weir whoami")
        }
    }

    static func findings(of who: JSONValue, _ target: ConnectionOptions.Target, now: Int64) -> [Finding] {
        guard let text = who.string("expires_at"), let end = RFC3339.milliseconds(text), end - now < 7 * 86_400_000 else { return [] }
        return [
            Finding(
                "warning", "own_token_expires", "login", "your token ends at \(text)",
                command: "weir token update \(who.string("id") ?? "ID") --expires-at never")
        ]
    }

    /// - Parameters:
    ///   - before: By this machine's clock, when the answer was asked for.
    ///   - after: When it had come.
    static func findings(of status: JSONValue, from before: Int64, to after: Int64) -> [Finding] {
        var findings: [Finding] = []
        if let time = status.string("time").flatMap(RFC3339.milliseconds) {
            let ahead = time > after ? time - after : time < before ? time - before : 0
            if abs(ahead) > 5000 {
                findings.append(
                    Finding(
                        "warning", "clock", "this machine",
                        "its clock is \(abs(ahead) / 1000) s \(ahead > 0 ? "behind" : "ahead of") the control plane's",
                        command: "timedatectl set-ntp true    # where the clock is wrong"))
            }
        }
        if let version = status.string("version"), version != weirVersion.description {
            findings.append(
                Finding(
                    "notice", "version", "this command line",
                    "it is of version \(weirVersion), the control plane of \(version.visible)", command: "weir --version"))
        }
        return findings
    }
}
