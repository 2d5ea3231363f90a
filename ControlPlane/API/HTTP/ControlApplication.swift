package import Hummingbird
import HummingbirdCore
package import Logging
import NIOCore

/// The HTTP listener of the control plane.
package enum ControlApplication {
    package struct Settings: Sendable {
        package var host: String
        /// 0: any free port.
        package var port: Int
        package var maximumConnections: Int

        package init(host: String, port: Int, maximumConnections: Int) {
            self.host = host
            self.port = port
            self.maximumConnections = maximumConnections
        }
    }

    /// A connection without a request is closed after this time.
    private static let idleTimeout = TimeAmount.seconds(75)

    /// - Parameter onListening: Called with the port once the listener is open.
    package static func make(
        _ responder: APIResponder, _ settings: Settings, logger: Logger, onListening: @escaping @Sendable (Int) async -> Void = { _ in }
    ) -> Application<APIResponder> {
        var configuration = ApplicationConfiguration(address: .hostname(settings.host, port: settings.port))
        configuration.availableConnectionsDelegate = MaximumAvailableConnections(settings.maximumConnections)
        return Application(
            responder: responder,
            server: .http1(
                configuration: .init(
                    additionalChannelHandlers: [ConnectionGuard.Installer(.init())], idleTimeout: idleTimeout,
                    httpDecoderConfiguration: .init(maxHeaderFieldSize: 16 * 1024, maxHeaderListSize: 64 * 1024, maxHeaderFieldCount: 100))),
            configuration: configuration,
            onServerRunning: { await onListening($0.localAddress?.port ?? settings.port) },
            logger: logger)
    }
}
