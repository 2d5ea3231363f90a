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

    package func problems(replacing old: Self?, now: Int64) -> [FieldProblem] {
        var problems: [FieldProblem] = []
        for (index, tier) in tiers.enumerated() {
            if tier.above == 0 {
                problems.append(
                    FieldProblem("tiers[\(index)].above_input_tokens", "is 0", remedy: "Name the size above which these prices count."))
            }
            if tier.serviceTier != nil {
                problems.append(
                    FieldProblem("tiers[\(index)].service_tier", "is given", remedy: "Put prices of service tiers into service_tiers."))
            }
        }
        for (index, tier) in serviceTiers.enumerated() where tier.serviceTier == nil {
            problems.append(
                FieldProblem("service_tiers[\(index)].service_tier", "is missing", remedy: "Name priority, flex or batch."))
        }
        return problems
    }
}
