import Nouns
import Primitives

/// A day by the hour: requests and failures, what they cost, how long they took.
struct OverviewCharts {
    private static let hour: Int64 = 3_600_000
    private let hours: [(label: String, usage: JSONValue, latency: JSONValue)]

    init(_ report: JSONValue, _ latencies: JSONValue, from: Int64) {
        let (usage, latency) = (Self.byHour(report), Self.byHour(latencies))
        hours = (0..<24).map { index in
            let time = from + Int64(index) * Self.hour
            return (String(RFC3339.string(milliseconds: time).dropFirst(11).prefix(5)), usage[time] ?? .null, latency[time] ?? .null)
        }
    }

    private static func byHour(_ report: JSONValue) -> [Int64: JSONValue] {
        Dictionary(
            (report["items"]?.arrayValue ?? []).compactMap { item in
                item["hour"]?.stringValue.flatMap(RFC3339.milliseconds).map { ($0, item) }
            }, uniquingKeysWith: { first, _ in first })
    }

    var all: [Chart] {
        [
            chart(
                "Requests by hour, UTC", ["Requests", "Failed"],
                [Charts.Legend(text: "all", kind: "bar"), Charts.Legend(text: "failed", kind: "bar2")],
                unit: { Rendering.grouped(Int64(exactly: $0.rounded()) ?? .max) }
            ) {
                hour in
                let (requests, failed) = (hour.usage["requests"]?.intValue ?? 0, hour.usage["failed"]?.intValue ?? 0)
                return (Double(requests), Double(failed), [Rendering.grouped(requests), Rendering.grouped(failed)])
            },
            chart("Cost by hour, UTC", ["Cost"], unit: { "$" + Self.short($0) }) { hour in
                let nano = hour.usage["cost_nano"]?.intValue ?? 0
                return (Double(nano) / 1e9, 0, [hour.usage["cost"]?.stringValue.map(Rendering.dollars) ?? "–"])
            },
            chart(
                "Latency by hour, UTC", ["Half", "99 of 100"],
                [Charts.Legend(text: "half within", kind: "bar"), Charts.Legend(text: "99 of 100 within", kind: "bar4")],
                kinds: ("bar4", "bar"), unit: { Self.short($0) + " ms" }
            ) { hour in
                let (half, most) = (hour.latency["p50_us"]?.intValue ?? 0, hour.latency["p99_us"]?.intValue ?? 0)
                return (
                    Double(most) / 1000, Double(half) / 1000,
                    [half, most].map { $0 == 0 ? "–" : Rendering.milliseconds($0) }
                )
            },
        ]
    }

    private func chart(
        _ title: String, _ columns: [String], _ legend: [Charts.Legend] = [], kinds: (whole: String, part: String) = ("bar", "bar2"),
        unit: (Double) -> String,
        _ values: ((label: String, usage: JSONValue, latency: JSONValue)) -> (value: Double, part: Double, texts: [String])
    ) -> Chart {
        let rows = hours.map { ($0.label, values($0)) }
        let bars = rows.map { label, found in
            Charts.Bar(
                label: label, value: found.value, part: found.part,
                note: "\(label) UTC: " + zip(columns, found.texts).map { "\($0) \($1)" }.joined(separator: ", "))
        }
        return Chart(
            title: title,
            svg: Charts.bars(bars, named: title, width: Charts.third, kind: kinds.whole, partKind: kinds.part, unit: unit), legend: legend,
            table: Table(
                columns: [Column(text: "Hour")] + columns.map { Column(text: $0, isNumber: true) },
                rows: rows.map { label, found in
                    Row(
                        cells: [Cell(title: "Hour", text: label + " UTC")]
                            + zip(columns, found.texts).map { Cell(title: $0, text: $1, isNumber: true) })
                }))
    }

    /// Of an axis: three digits at most.
    static func short(_ value: Double) -> String {
        if value >= 100 || value == value.rounded() { return Rendering.grouped(Int64(exactly: value.rounded()) ?? .max) }
        let thousandths = Int64((value * 1000).rounded())
        var decimals = String(1000 + thousandths % 1000).dropFirst()
        while decimals.hasSuffix("0") { decimals.removeLast() }
        return decimals.isEmpty ? "\(thousandths / 1000)" : "\(thousandths / 1000).\(decimals)"
    }
}
