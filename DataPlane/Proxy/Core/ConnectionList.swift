/// Things with a place in a list of their own kind, added and removed in constant time.
protocol ListedConnection: AnyObject {
    var listIndex: Int { get set }
}

struct ConnectionList<Element: ListedConnection> {
    private(set) var items: [Element] = []

    mutating func add(_ element: Element) {
        element.listIndex = items.count
        items.append(element)
    }

    mutating func remove(_ element: Element) {
        let index = element.listIndex
        guard items.indices.contains(index), items[index] === element else { return }
        element.listIndex = -1
        guard let last = items.popLast(), last !== element else { return }
        items[index] = last
        last.listIndex = index
    }
}
