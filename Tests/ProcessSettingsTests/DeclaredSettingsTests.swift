import Foundation
import Primitives
import ProcessSettings
import Proxy
import Testing

@testable import weir_control
@testable import weir_proxy

/// What each program declares: a field that no flag leads to, or a default that its own bounds refuse, is noticed here.
@Suite("The settings that are declared")
struct DeclaredSettingsTests {
    /// `maxBodyBytes` → `max-body-bytes`, `databaseURL` → `database-url`, `fleetTLSKey` → `fleet-tls-key`.
    private static func kebab(_ name: String) -> String {
        name.replacing("DIDs", with: "Dids").replacing(/([a-z])([A-Z])/) { "\($0.1)-\($0.2)" }
            .replacing(/([A-Z]+)([A-Z][a-z])/) { "\($0.1)-\($0.2)" }.lowercased()
    }

    private static func fields(_ value: Any) -> Set<String> { Set(Mirror(reflecting: value).children.compactMap(\.label).map(kebab)) }

    @Test func everyFieldOfTheDataPlaneHasItsSetting() {
        let declared = Set(ProxyProcess.reader.settings.map(\.name))
        let fields = Self.fields(ProxySettings()).union(Self.fields(ProxyProcess()))
            .subtracting(["proxy", "listen-host", "listen-port", "operator-host", "operator-port"]).union(["listen", "operator-listen"])
        #expect(declared == fields)
        #expect(ProxyProcess.reader.settings.count == declared.count, "a name is declared twice")
    }

    @Test func everyFieldOfTheControlPlaneHasItsSetting() {
        #expect(Set(ControlOptions.reader.settings.map(\.name)) == Self.fields(ControlOptions()))
        #expect(ControlOptions.reader.settings.count == Self.fields(ControlOptions()).count)
    }

    @Test func theDefaultsAreWithinTheirOwnBounds() throws {
        let proxy = ProxyProcess.reader
        for (name, value) in try Self.values(proxy.read(arguments: [], environment: [:]).json(proxy.settings)) {
            #expect(throws: Never.self) { try proxy.read(arguments: ["--\(name)", value], environment: [:]) }
        }
        let control = ControlOptions.reader
        for (name, value) in try Self.values(control.read(arguments: [], environment: [:]).json(control.settings)) {
            #expect(throws: Never.self) { try control.read(arguments: ["--\(name)=\(value)"], environment: [:]) }
        }
    }

    private static func values(_ json: String) throws -> [(String, String)] {
        guard case .object(let object) = try JSONValue(parsing: json) else { return [] }
        return object.members.compactMap { member in member.value["value"]?.stringValue.map { (member.name, $0) } }
    }

    @Test func whatDoesNotGoTogetherIsRefusedAtTheStart() {
        func problems(_ body: () throws(SettingsError) -> Void) -> [String] {
            do throws(SettingsError) { try body() } catch { return error.problems }
            return []
        }
        #expect(
            problems { () throws(SettingsError) in
                _ = try ProxyProcess.reader.read(arguments: ["--max-body-bytes", "2048", "--max-buffered-bytes", "1024"], environment: [:])
            }.count == 2)
        #expect(
            problems { () throws(SettingsError) in
                _ = try ProxyProcess.reader.read(
                    arguments: ["--listen", "0.0.0.0:8080", "--operator-listen", "0.0.0.0:8080"], environment: [:])
            }.first?.contains("the same address") == true)
        #expect(
            problems { () throws(SettingsError) in
                _ = try ControlOptions.reader.read(arguments: ["--fleet-tls", "files", "--fleet-advertise", "x"], environment: [:])
            } == [
                "--fleet-advertise has to be host:port, not \"x\"", "--fleet-tls files needs --fleet-tls-certificate and --fleet-tls-key",
            ])
    }

    @Test func theNamesThatOperatorsKnowStayAsTheyAre() throws {
        let read = try ProxyProcess.reader.read(
            arguments: ["--data-directory", "/d", "--loops", "2"],
            environment: [
                "WEIR_LISTEN": "0.0.0.0:1", "WEIR_OPERATOR_LISTEN": "[::1]:2", "WEIR_DURABILITY": "power", "WEIR_ENROLL": "wenr_x",
            ])
        #expect(read.target.proxy.dataDirectory == "/d" && read.target.proxy.loops == 2 && read.target.proxy.durability == .power)
        #expect((read.target.proxy.listenHost, read.target.proxy.listenPort) == ("0.0.0.0", 1))
        #expect((read.target.proxy.operatorHost, read.target.proxy.operatorPort) == ("::1", 2))
        #expect(read.target.enroll == "wenr_x")
        let control = try ControlOptions.reader.read(
            arguments: ["--create-master-key"], environment: ["WEIR_DATABASE_URL": "postgresql://h/d"])
        let settings = try Settings(control.target)
        #expect(settings.createMasterKey && settings.databaseURL == "postgresql://h/d" && settings.http.port == 7080)
    }
}
