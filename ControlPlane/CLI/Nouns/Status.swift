import ArgumentParser
import Primitives

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show the whole installation on one screen: what is in force, the fleet, what needs attention.",
        discussion: example("status", "status --watch"))

    @OptionGroup var watching: WatchOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let target = try connection.target()
        let client = try ConnectionOptions.client(target)
        let who = try await client.whoAmI().json
        guard watching.watch else {
            let status = try await client.send("GET", "status")
            return try connection.emit(status) { Self.screen(status.json, who, target, Rendering()) }
        }
        try await watching.run(connection.format) {
            let status = try await client.send("GET", "status")
            return Look(screen: Self.screen(status.json, who, target, Rendering()), lines: Self.lines(status.json))
        }
    }

    /// Everything, for people.
    static func screen(_ status: JSONValue, _ who: JSONValue, _ target: ConnectionOptions.Target, _ rendering: Rendering) -> String {
        func text(_ path: String) -> String { (status.at(path)?.plain ?? "?").visible }
        let planes = status.list("data_planes")
        let connected = planes.filter { $0.at("connected") == true }.count
        let context = target.context.map { "\($0), " } ?? ""
        var facts = [
            ("Control plane", "\(context)\(target.url), version \(text("version")), on \(text("database"))"),
            ("You are", "\((who.string("name") ?? "?").visible), \((who.string("role") ?? "?").visible)"),
            ("In force", inForce(status, rendering)),
            ("Draft", draft(status)),
            ("Data planes", planes.isEmpty ? "none" : "\(connected) of \(planes.count) connected"),
        ]
        let troubles = status.list("endpoints_in_trouble")
        facts.append(("Endpoints", troubles.isEmpty ? "none is failing" : "\(troubles.count) failing or refused"))
        var parts = [Table.facts(facts)]
        if !planes.isEmpty { parts.append(Table.render(planeColumns, planes, rendering)) }
        if !troubles.isEmpty { parts.append(Table.render(troubleColumns, Array(troubles.prefix(10)), rendering)) }
        let findings = status.list("findings").map(Doctor.Finding.init)
        parts.append(
            findings.isEmpty
                ? "Nothing needs attention."
                : (["Needs attention:"] + findings.prefix(10).map { "  \($0.severity)  \($0.subject): \($0.message)" }
                    + [findings.count > 10 ? "  and \(findings.count - 10) more" : "", "`weir doctor` says what to do about it."])
                    .filter { !$0.isEmpty }.joined(separator: "\n"))
        return parts.joined(separator: "\n\n")
    }

    private static func inForce(_ status: JSONValue, _ rendering: Rendering) -> String {
        let baseline = status.at("baseline_version")?.intValue.map { "version \($0)" } ?? "nothing yet"
        let latest = status.at("latest_version")?.intValue
        guard let candidate = status.at("candidate.version")?.plain else {
            let newer = latest.flatMap { $0 > (status.at("baseline_version")?.intValue ?? 0) ? " (version \($0) is published)" : nil }
            return baseline + (newer ?? "")
        }
        let since = status.string("candidate.created_at").map(rendering.relative) ?? ""
        return
            "\(baseline); candidate version \(candidate) for \(status.at("candidate.percentage")?.plain ?? "?") % of the keys, made \(since)"
    }

    private static func draft(_ status: JSONValue) -> String {
        let count = status.at("draft.changes")?.intValue ?? 0
        guard count > 0 else { return "nothing waits to be published" }
        let authors = status.list("draft.authors").compactMap(\.stringValue)
        return "\(count) change\(count == 1 ? "" : "s") to publish"
            + (authors.isEmpty ? "" : ", by \(authors.joined(separator: ", ").visible)")
    }

    private static let planeColumns: [Column] = [
        Column("DATA PLANE", "name"), Column("REGION", "region"), Column("STATUS", "status"), Column("VERSION", "version"),
        Column("CONFIG", "config_versions"), Column("BEHIND", "behind"), Column("UNSHIPPED", "outbox_batches", .count),
        Column("SEEN", "last_seen_at", .time, null: "never"),
    ]

    private static let troubleColumns: [Column] = [
        Column("DATA PLANE", "data_plane"), Column("ENDPOINT", "endpoint_id"), Column("CREDENTIAL", "credential_id"),
        Column("SINCE", "since", .time), Column("LAST FAILURE", "last"),
    ]

    /// A line for each thing whose change is news.
    static func lines(_ status: JSONValue) -> [Look.Line] {
        func line(_ key: String, _ text: String, _ json: JSONValue) -> Look.Line {
            .init(key: key, text: text, news: text, json: json.text)
        }
        let versions: JSONValue = [
            "baseline_version": status.at("baseline_version") ?? .null, "candidate": status.at("candidate") ?? .null,
        ]
        var lines = [line("versions", "in force: \(inForceNews(status)); draft: \(draft(status))", versions)]
        lines += status.list("data_planes").map { plane in
            let words = ["name", "region", "status", "version", "config_versions"].map { (plane.at($0)?.plain ?? "-").visible }
            return line(plane.string("id") ?? "", "data plane \(words.joined(separator: "  "))", plane)
        }
        lines += status.list("findings").map { finding in
            let words = ["severity", "subject", "message"].map { (finding.string($0) ?? "").visible }
            let key = (finding.string("code") ?? "") + (finding.string("subject") ?? "") + (finding.string("message") ?? "")
            return line(key, "\(words[0])  \(words[1]): \(words[2])", finding)
        }
        return lines
    }

    private static func inForceNews(_ status: JSONValue) -> String {
        let candidate = status.at("candidate.version")?.plain
        return "version \(status.at("baseline_version")?.plain ?? "-")"
            + (candidate.map { ", candidate \($0) for \(status.at("candidate.percentage")?.plain ?? "?") %" } ?? "")
    }
}
