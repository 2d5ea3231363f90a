import Nouns
import Primitives

/// A report's groups as rows.
enum UsageTable {
    private static let sums = ["requests", "failed", "input_tokens", "output_tokens", "cost"]

    static func table(_ report: JSONValue, groups: [String], _ rendering: Rendering) -> Table {
        var rows = (report["items"]?.arrayValue ?? []).map { item in Row(cells: groups.map { group($0, item) } + sums.map { sum($0, item) })
        }
        if let others = report["others"], others != .null {
            let label = Cell(title: "", text: "\(Rendering.grouped(others["groups"]?.intValue ?? 0)) others")
            rows.append(Row(cells: [label] + groups.dropFirst().map { _ in Cell(text: "") } + sums.map { sum($0, others) }))
        }
        var table = Table(
            columns: groups.map { Column(text: Rendering.label($0)) } + sums.map { Column(text: Rendering.label($0), isNumber: true) },
            rows: rows)
        if let totals = report["totals"], rows.count > 1 {
            table.totals = [Cell(title: "All", text: "All")] + groups.dropFirst().map { _ in Cell(text: "") } + sums.map { sum($0, totals) }
        }
        return table
    }

    private static func sum(_ name: String, _ item: JSONValue) -> Cell {
        let text =
            name == "cost"
            ? item[name]?.stringValue.map(Rendering.dollars) ?? "–" : item[name]?.intValue.map(Rendering.grouped) ?? "–"
        return Cell(title: Rendering.label(name), text: text, isNumber: true)
    }

    private static func group(_ name: String, _ item: JSONValue) -> Cell {
        var cell = Cell(title: Rendering.label(name), text: "–")
        if let id = item["\(name)_id"]?.stringValue {
            cell.text = item[name]?.stringValue ?? id
            cell.href = Rendering.pages[name].map { "/admin/\($0)/\(id)" }
        } else {
            switch item[name] ?? .null {
            case .string(let text): cell.text = name == "hour" ? Rendering.time(text) : text
            case .int(let number): cell.text = String(number)
            case .array(let texts): cell.text = texts.compactMap(\.stringValue).joined(separator: ", ")
            default: break
            }
        }
        return cell
    }
}
