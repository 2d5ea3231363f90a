/// Where in a request a value stands, for errors: `messages[2].content[0]`. Made into text only when there is one.
struct Place {
    private enum Step {
        case nothing
        case member(StaticString)
        case element(Int)
    }

    private let name: StaticString
    private var steps: (Step, Step, Step, Step, Step, Step) = (.nothing, .nothing, .nothing, .nothing, .nothing, .nothing)

    init(_ name: StaticString) { self.name = name }

    var text: String {
        var text = "\(name)"
        for step in [steps.0, steps.1, steps.2, steps.3, steps.4, steps.5] {
            switch step {
            case .nothing: break
            case .member(let name): text += ".\(name)"
            case .element(let index): text += "[\(index)]"
            }
        }
        return text
    }

    subscript(_ index: Int) -> Place { adding(.element(index)) }
    subscript(_ name: StaticString) -> Place { adding(.member(name)) }

    /// Deeper than any request is read, the place stays that of what is around.
    private func adding(_ step: Step) -> Place {
        var place = self
        if case .nothing = steps.0 {
            place.steps.0 = step
        } else if case .nothing = steps.1 {
            place.steps.1 = step
        } else if case .nothing = steps.2 {
            place.steps.2 = step
        } else if case .nothing = steps.3 {
            place.steps.3 = step
        } else if case .nothing = steps.4 {
            place.steps.4 = step
        } else if case .nothing = steps.5 {
            place.steps.5 = step
        }
        return place
    }
}

extension JSONView {
    func requiredText(_ place: Place) throws(TranslationRefusal) -> EscapedText {
        guard let text else { throw .wrongType(place.text, "a string") }
        return text
    }

    func requiredElements(_ place: Place) throws(TranslationRefusal) -> [JSONView] {
        guard kind == .array else { throw .wrongType(place.text, "an array") }
        guard let elements else { throw .tooMany(place.text) }
        return elements
    }

    func requiredMembers(_ place: Place) throws(TranslationRefusal) -> Members {
        guard kind == .object else { throw .wrongType(place.text, "an object") }
        guard let members else { throw .tooMany(place.text) }
        return Members(members)
    }
}

/// The members of one object that was looked into.
struct Members {
    let all: [JSONView.Member]

    init(_ all: [JSONView.Member]) { self.all = all }

    /// The last one of that name that is not null.
    subscript(_ name: StaticString) -> JSONView? {
        all.withUnsafeBufferPointer { members in
            var index = members.count
            while index > 0 {
                index &-= 1
                if members[index].name == name, !members[index].value.isNull { return members[index].value }
            }
            return nil
        }
    }

    func text(_ name: StaticString) -> EscapedText? { self[name]?.text }
    /// A string that one of a few words is expected in.
    func word(_ name: StaticString) -> String { self[name]?.text?.string ?? "" }
}
