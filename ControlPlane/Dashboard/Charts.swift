/// Time series as SVG, drawn of numbers alone: no text that anybody gave stands in it.
enum Charts {
    struct Bar {
        /// Of the axis: an hour or a day.
        let label: String
        let value: Double
        /// The part of it that has a colour of its own.
        var part = 0.0
        /// What a pointer shows: made of numbers and dates.
        let note: String
    }

    /// How wide a chart is that has a page for itself, and one that has a third of it: so many units, so that texts can be read in both.
    static let (whole, third) = (960.0, 320.0)
    private static let (left, bottom, top) = (56.0, 22.0, 8.0)

    /// What a colour stands for.
    struct Legend: View {
        let text: String
        let kind: String
    }

    /// - Parameters:
    ///   - kind: The colour of the bars: a class of the style sheet.
    ///   - partKind: That of their parts.
    static func bars(
        _ bars: [Bar], named name: String, width: Double = whole, kind: String = "bar", partKind: String = "bar2", unit: (Double) -> String
    ) -> String {
        let isNarrow = width < whole
        let height = isNarrow ? 150.0 : 200.0
        let peak = nice(bars.map(\.value).max() ?? 0)
        let step = (width - left) / Double(max(1, bars.count))
        let inner = height - bottom - top
        var svg =
            "<svg class=\"chart\(isNarrow ? " half" : "")\" viewBox=\"0 0 \(Int(width)) \(Int(height))\" role=\"img\" aria-label=\"\(name.escapedForHTML); the same is in the table.\">"
        for part in 0...2 {
            let y = top + inner * (1 - Double(part) / 2)
            svg += "<line class=\"axis\" x1=\"\(short(left))\" x2=\"\(short(width))\" y1=\"\(short(y))\" y2=\"\(short(y))\"/>"
            svg +=
                "<text x=\"\(short(left - 6))\" y=\"\(short(y + 4))\" text-anchor=\"end\">\(unit(peak * Double(part) / 2).escapedForHTML)</text>"
        }
        let most = isNarrow ? 4 : 8
        let every = max(1, (bars.count + most - 1) / most)
        for (index, bar) in bars.enumerated() {
            let x = left + step * Double(index)
            let tall = peak > 0 ? bar.value / peak * inner : 0
            let wide = min(max(1, step - 2), 48)
            svg += "<g><title>\(bar.note.escapedForHTML)</title>"
            svg += "<rect x=\"\(short(x))\" y=\"\(short(top))\" width=\"\(short(wide))\" height=\"\(short(inner))\" fill=\"transparent\"/>"
            svg +=
                "<rect class=\"\(kind)\" x=\"\(short(x + 1))\" y=\"\(short(top + inner - tall))\" width=\"\(short(wide))\" height=\"\(short(tall))\"/>"
            if bar.part > 0, peak > 0 {
                let part = max(1, bar.part / peak * inner)
                svg +=
                    "<rect class=\"\(partKind)\" x=\"\(short(x + 1))\" y=\"\(short(top + inner - part))\" width=\"\(short(wide))\" height=\"\(short(part))\"/>"
            }
            svg += "</g>"
            if index % every == 0 { svg += "<text x=\"\(short(x))\" y=\"\(short(height - 6))\">\(bar.label.escapedForHTML)</text>" }
        }
        return svg + "</svg>"
    }

    /// The next of 1, 2, 5 times a power of ten.
    private static func nice(_ value: Double) -> Double {
        guard value > 0, value.isFinite else { return 1 }
        var power = 1.0
        while power * 10 <= value { power *= 10 }
        while power > value { power /= 10 }
        return [1, 2, 5, 10].map { $0 * power }.first { $0 >= value } ?? value
    }

    private static func short(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? String(tenths / 10) : "\(tenths / 10).\(abs(tenths % 10))"
    }

    /// What a whole is made of, in one bar.
    struct Parts: View {
        let all: Double
        let parts: [(label: String, value: Double, kind: String)]

        var svg: String {
            let (width, height) = (960.0, 16.0)
            // What is more than all is shown as all.
            let whole = max(all, parts.reduce(0) { $0 + $1.value })
            var svg =
                "<svg class=\"chart parts\" viewBox=\"0 0 960 16\" role=\"img\" aria-label=\"What it is made of; the same stands below.\"><rect class=\"rest\" width=\"960\" height=\"16\" rx=\"4\"/>"
            var x = 0.0
            for part in parts where part.value > 0 {
                let wide = max(2, part.value / whole * width)
                svg +=
                    "<rect class=\"\(part.kind)\" x=\"\(Charts.short(x))\" width=\"\(Charts.short(wide))\" height=\"\(Charts.short(height))\"/>"
                x += wide
            }
            return svg + "</svg>"
        }

        var derived: [String: Any] {
            let shares = parts.map {
                Legend(text: "\($0.label) \(DashboardRoutes.percent(Int64(min($0.value / all, 1e9) * 10_000), of: 10_000))", kind: $0.kind)
            }
            return ["svg": svg, "legend": shares]
        }
    }
}
