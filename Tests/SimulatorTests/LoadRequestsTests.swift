import Simulator
import Testing

@Suite("Requests that were made ahead")
struct LoadRequestsTests {
    @Test func areReadAsTheyStandInTheFile() throws {
        let file: [UInt8] = [0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9]
        #expect(try LoadSettings.requests(in: file) == [[7, 8], [9]])
        #expect(try LoadSettings.requests(in: []).isEmpty)
    }

    @Test(arguments: [[0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 3, 1, 2], [255, 255, 255, 255, 1]] as [[UInt8]])
    func areRefusedWhereTheFileIsNone(file: [UInt8]) {
        #expect(throws: LoadSettings.BrokenFile.self) { try LoadSettings.requests(in: file) }
    }
}
