package import Nouns

extension ModelContent: Administered {
    package static var scope: NounScope { .draft }
}
