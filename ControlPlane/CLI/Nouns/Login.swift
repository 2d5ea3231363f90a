import ArgumentParser
import Foundation
import Primitives

struct Login: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Keep a control plane's address and a token for it, after trying them.",
        discussion: example("login --url https://weir.example.org", "login < token.txt"))

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let address = try connection.address()
        let token =
            try connection.token
            ?? Terminal.readSecret(prompt: "Administrator's token")
            .trimmingCharacters(in: .whitespacesAndNewlines)
        // Every role may read tenants.
        let answer = try await AdminClient(address: address, token: token).send("GET", "tenants", query: [("limit", "1")])
        try SavedLogin(url: address, token: token).save()
        try connection.emit(answer) { "Logged in to \(address). Kept in \(SavedLogin.file.path)." }
    }
}

struct Logout: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Forget what login kept.", discussion: example("logout"))

    func run() throws {
        let path = SavedLogin.file.path
        guard FileManager.default.fileExists(atPath: path) else { return }
        do { try FileManager.default.removeItem(atPath: path) } catch { throw Failure.usage("cannot remove \(path)") }
    }
}
