import Mustache

/// What templates are filled with. Names are the templates' own.
///
/// Mustache looks a name up in what is around where it is not found: so what is nil here is said to be nothing, and does not become
/// what a page has under the same name.
protocol View: MustacheParent {
    /// What follows from the stored properties.
    var derived: [String: Any] { get }
}

extension View {
    var derived: [String: Any] { [:] }

    func child(named name: String) -> Any? {
        if let value = derived[name] { return value }
        guard let value = Mirror(reflecting: self).children.first(where: { $0.label == name })?.value else { return nil }
        let mirror = Mirror(reflecting: value)
        guard mirror.displayStyle == .optional else { return value }
        return mirror.children.first?.value ?? Nothing()
    }
}

private struct Nothing: MustacheCustomRenderable {
    var renderText: String { "" }
    var isNull: Bool { true }
}

/// A place in a page: a text, where it leads, and how it is meant.
struct Cell: View {
    var title = ""
    var text: String
    var href: String?
    /// good, warn or bad; nil: plain.
    var kind: String?
    var isNumber = false
    /// Whether it stays on one line, wherever there is room for that.
    var isTime = false

    // Looked up so often that a mirror would be what a page costs.
    func child(named name: String) -> Any? {
        switch name {
        case "title": title
        case "text": text
        case "href": href ?? Nothing()
        case "kind": kind ?? Nothing()
        case "isNumber": isNumber
        case "isTime": isTime
        default: nil
        }
    }

    /// The decimals of an amount of money; nil for anything else.
    fileprivate var decimals: Int? {
        guard isNumber, text.hasPrefix("$") || text.hasPrefix("−$"), let point = text.lastIndex(of: ".") else { return nil }
        let rest = text[text.index(after: point)...]
        return rest.allSatisfy(\.isNumber) ? rest.count : nil
    }

    fileprivate func padded(to decimals: Int) -> Cell {
        guard let own = self.decimals, own < decimals else { return self }
        var cell = self
        cell.text += String(repeating: "0", count: decimals - own)
        return cell
    }
}

struct Column: View {
    let text: String
    var isNumber = false
    /// Sorts by it.
    var href: String?
    /// An arrow, where the list is sorted by it.
    var mark = ""
}

struct Row: View {
    let cells: [Cell]

    func child(named name: String) -> Any? { name == "cells" ? cells : nil }
}

struct Table: View {
    var columns: [Column]
    var rows: [Row]
    var totals: [Cell] = []

    func child(named name: String) -> Any? {
        switch name {
        case "columns": return columns
        case "rows":
            let decimals = decimals
            return decimals.isEmpty ? rows : rows.map { Row(cells: Self.aligned($0.cells, decimals)) }
        case "totals": return Self.aligned(totals, decimals)
        case "hasTotals": return !totals.isEmpty
        default: return nil
        }
    }

    /// Of columns of money, how many decimals their amounts have: all as many, so that their points stand below each other.
    private var decimals: [Int: Int] {
        var most: [Int: Int] = [:]
        for cells in rows.map(\.cells) + [totals] {
            for (index, cell) in cells.enumerated() where cell.isNumber {
                if let decimals = cell.decimals { most[index] = max(most[index] ?? 0, decimals) }
            }
        }
        return most
    }

    private static func aligned(_ cells: [Cell], _ decimals: [Int: Int]) -> [Cell] {
        cells.enumerated().map { index, cell in decimals[index].map(cell.padded) ?? cell }
    }
}
/// Something to do, behind a link.
struct Act: View {
    let text: String
    let href: String
    var isMain = false
    var isDanger = false
}

struct Choice: View {
    let value: String
    let text: String
    var isSelected = false
}

struct FilterField: View {
    let name: String
    let label: String
    var value = ""
    var options: [Choice] = []
    var placeholder: String?
    var isSelect: Bool { !options.isEmpty }
    var derived: [String: Any] { ["isSelect": isSelect] }
}
struct FormField: View {
    enum Input {
        case text(String), area, select
    }

    var name: String
    var label: String
    var about: String
    var value = ""
    var isRequired = false
    var input = Input.text("text")
    var options: [Choice] = []
    var placeholder = ""
    var problem: String?
    /// Of a group.
    var fields: [FormField] = []
    var isGroup = false

    var id: String { "f-" + name.map { $0 == "." || $0 == "_" ? "-" : String($0) }.joined() }
    var isSelect: Bool { if case .select = input { true } else { false } }
    var isArea: Bool { if case .area = input { true } else { false } }
    var isText: Bool { !isSelect && !isArea }
    var type: String { if case .text(let type) = input { type } else { "text" } }
    var derived: [String: Any] { ["id": id, "isSelect": isSelect, "isArea": isArea, "isText": isText, "type": type] }
}
struct Fact: View {
    let label: String
    var about = ""
    var cells: [Cell]
}

struct FactSection: View {
    let title: String
    let facts: [Fact]
}

struct NavigationLink: View {
    let href: String
    let text: String
    let isCurrent: Bool
}

struct NavigationSection: View {
    let title: String
    let links: [NavigationLink]
}

/// What every page has around it.
struct Chrome: View {
    var title: String
    var sections: [NavigationSection] = []
    var person = ""
    var role = ""
    var csrf = ""
    /// What the name in the corner leads to.
    var home = "/admin"
    /// The tenant whose own pages somebody else looks at.
    var looked: Act?
    let style = Assets.stylePath
    let script = Assets.scriptPath
}

struct TitledTable: View {
    let title: String
    var table: Table
    var emptyWords = "Nothing yet."
    var isEmpty: Bool { table.rows.isEmpty }
    var derived: [String: Any] { ["isEmpty": isEmpty] }
}
struct Chart: View {
    let title: String
    let svg: String
    var legend: [Charts.Legend] = []
    var table: Table
    var derived: [String: Any] { ["hasLegend": !legend.isEmpty] }
}

struct ListPage: View {
    let chrome: Chrome
    let about: String
    var acts: [Act] = []
    var filters: [FilterField] = []
    var plain = ""
    var table: Table
    var emptyWords: String
    var emptyAct: Act?
    var first: String?
    var next: String?
    /// All of it, as files.
    var exports: [Act] = []
    var hasFilters: Bool { !filters.isEmpty }
    var isFiltered: Bool { filters.contains { !$0.value.isEmpty && $0.name != "sort" } }
    var isEmpty: Bool { table.rows.isEmpty }
    var derived: [String: Any] { ["hasFilters": hasFilters, "isFiltered": isFiltered, "isEmpty": isEmpty] }
}
struct DetailPage: View {
    var chrome: Chrome
    let listHref: String
    let listText: String
    var acts: [Act] = []
    var notice: String?
    var noticeKind = "good"
    /// How it stands: what nobody wrote into it.
    var now: [Fact] = []
    var bars: [Charts.Parts] = []
    var facts: [Fact]
    /// Instead of facts, where there are many.
    var sections: [FactSection] = []
    var tables: [TitledTable] = []
    var related: [Act] = []
    /// Where the events of the live part come from, and that part: a template's HTML.
    var live: String?
    var fragment: String?
    var derived: [String: Any] { ["hasRelated": !related.isEmpty, "hasNow": !now.isEmpty, "hasFacts": !facts.isEmpty] }
}
struct HiddenField: View {
    let name: String
    let value: String
}

struct FormPage: View {
    let chrome: Chrome
    let about: String
    let action: String
    let back: String
    let backText: String
    let submit: String
    var isDanger = false
    var revision: String?
    var fields: [FormField]
    /// What is to be known before: another template's HTML.
    var fragment: String?
    /// Besides `revision` and the token.
    var hidden: [HiddenField] = []
    /// Of a form that holds a file.
    var isMultipart = false
    var problems: [String] = []
    var hasProblems: Bool { !problems.isEmpty }
    /// What it is now, where somebody else changed it in the meantime.
    var now: [Fact] = []
    var hasNow: Bool { !now.isEmpty }
    var derived: [String: Any] { ["hasProblems": hasProblems, "hasNow": hasNow] }
}
struct CreatedPage: View {
    let chrome: Chrome
    let label: String
    let secret: String
    let href: String
}

struct MessagePage: View {
    let chrome: Chrome
    let kind: String
    let lines: [String]
    var back: String?
}

struct SignInPage: View {
    let chrome: Chrome
    let next: String
    let provider: Bool
    var problem: String?
}

struct FindingView: View {
    let kind: String
    let subject: String
    let message: String
    let command: String?
    /// The page where it can be seen to.
    var act: Act?
}

struct Tile: View {
    let label: String
    let value: String
    let note: String
    /// Where it leads.
    var href: String?
}

/// A page of which a part renews itself.
struct LivePage: View {
    let chrome: Chrome
    /// Where its events come from.
    let live: String
    /// That part as it is now: a template's HTML.
    let fragment: String
}

struct OverviewPage: View {
    var findings: [FindingView] = []
    /// Beyond those that are shown.
    var moreFindings: Int?
    var tiles: [Tile] = []
    var charts: [Chart] = []
    var tables: [TitledTable] = []
}

struct ReportPage: View {
    let chrome: Chrome
    var about: String
    var acts: [Act] = []
    var filters: [FilterField]
    var charts: [Chart] = []
    var table: Table
    var tables: [TitledTable] = []
    var emptyWords = "There is nothing in this window."
    var isEmpty: Bool { table.rows.isEmpty }
    var derived: [String: Any] { ["isEmpty": isEmpty] }
}
