package import Nouns
package import Primitives

extension PriceContent: Administered {
    package static var scope: NounScope { .draft }
    package static var permission: Permission { .price }

    package static var taken: FieldProblem {
        FieldProblem(
            "effective_from", "is the moment of another price of this model and endpoint",
            remedy: "Change that price, or choose another moment.")
    }
}
