import Formats
import NIOCore
import Primitives

/// A request as it is sent on: the caller's, or what a route's template has made of it.
struct RequestShape {
    var body: ByteBuffer
    var members: RequestMembers
    /// For the provider, from the template.
    var headerLines: [UInt8] = []
    /// What the template has changed.
    var changes: [RenderedTemplate.Change] = []
}

/// What a request was before any template, for whichever route comes to serve it. There is one only where a route has a template.
final class RequestShaping {
    private let original: RequestShape
    private var scope: RequestScope
    private let capability: RequestTarget.Capability

    init(_ original: RequestShape, _ scope: RequestScope, _ capability: RequestTarget.Capability) {
        self.original = original
        self.scope = scope
        self.capability = capability
    }

    /// - Throws: where a change that is required cannot be made.
    func shape(for model: CompiledModel, _ route: CompiledRoute) throws(Rejection) -> RequestShape {
        guard let template = route.template else { return original }
        scope.model = model
        let rendered = try RenderedTemplate(template, in: scope, capability)
        return try shape(rendered.changes, rendered.headerLines)
    }

    /// The same without what a provider does not take.
    func shape(_ changes: [RenderedTemplate.Change], _ headerLines: [UInt8]) throws(Rejection) -> RequestShape {
        var shape = original
        shape.headerLines = headerLines
        if changes.isEmpty { return shape }
        let dialect = scope.caller.dialect
        guard let body = BodyEdit.apply(changes.map(\.edit), to: Array(original.body.readableBytesView), in: dialect) else {
            throw .templateFailed("body")
        }
        shape.body = ByteBuffer(bytes: body)
        do throws(Rejection) { shape.members = try dialect.scan(shape.body) } catch {
            // What the template wrote is none of the caller's faults.
            throw .templateFailed(error.param ?? "body")
        }
        shape.changes = changes
        return shape
    }
}

extension Admission {
    /// The changes that a provider's or translation's words are about, of those that the request can go without.
    /// - Returns: nil where they are about none; the name where what they are about has to stay.
    func refusedChange(
        param: String?, message: String, of some: [RenderedTemplate.Change]? = nil
    ) -> (left: [RenderedTemplate.Change], kept: String?)? {
        let changes = some ?? changes
        guard !changes.isEmpty else { return nil }
        let dialect = caller.dialect
        let concerned = changes.indices.filter { index in
            let name = changes[index].edit.member(in: dialect)
            if case .system = changes[index].edit {
                return param.map { $0 == name || $0.hasPrefix("\(name)[0]") } ?? false
            }
            if let param, !param.isEmpty { return param == name || param.hasPrefix("\(name).") || param.hasPrefix("\(name)[") }
            return message.namesMember(name)
        }
        guard !concerned.isEmpty else { return nil }
        if let kept = concerned.first(where: { changes[$0].isKept }) { return (changes, changes[kept].edit.member(in: dialect)) }
        return (changes.indices.filter { !concerned.contains($0) }.map { changes[$0] }, nil)
    }
}

extension String {
    /// Whether a member's name stands in it as a word of its own.
    fileprivate func namesMember(_ name: String) -> Bool {
        var rest = self[...]
        while let found = rest.firstRange(of: name) {
            let before = rest[..<found.lowerBound].last
            let after = rest[found.upperBound...].first
            func joins(_ character: Character?) -> Bool { character.map { $0.isLetter || $0.isNumber || $0 == "_" } ?? false }
            if !joins(before), !joins(after) { return true }
            rest = rest[found.upperBound...]
        }
        return false
    }
}
