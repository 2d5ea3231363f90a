package import Hummingbird
import HummingbirdCore
import Listening
package import Logging
import NIOCore
package import Telemetry

/// The HTTP listener of the control plane.
package enum ControlApplication {
    package struct Settings: Sendable {
        package var host: String
        /// 0: any free port.
        package var port: Int
        package var maximumConnections: Int
        /// A connection without a request is closed after so many seconds.
        package var idleSeconds: Int64 = 75

        package init(host: String, port: Int, maximumConnections: Int) {
            self.host = host
            self.port = port
            self.maximumConnections = maximumConnections
        }
    }

    /// - Parameter onListening: Called with the port once the listener is open.
    package static func make(
        _ responder: APIResponder, _ settings: Settings, metrics: MetricsRegistry, logger: Logger,
        onListening: @escaping @Sendable (Int) async -> Void = { _ in }
    ) -> Application<APIResponder> {
        let maximum = ConnectionGate.Limits.fitting(settings.maximumConnections, each: 2, listener: "admin", logger: logger)
        let gate = ConnectionGate(
            listener: "admin", limits: .init(maximum: maximum, reserve: 16),
            metric: "weir_control_connections_refused_total", metrics: metrics, logger: logger)
        return Application(
            responder: responder,
            server: .http1(
                configuration: .init(
                    additionalChannelHandlers: [ConnectionGuard.Installer(.init(), gate)], idleTimeout: .seconds(settings.idleSeconds),
                    httpDecoderConfiguration: .init(maxHeaderFieldSize: 16 * 1024, maxHeaderListSize: 64 * 1024, maxHeaderFieldCount: 100))),
            configuration: ApplicationConfiguration(address: .hostname(settings.host, port: settings.port)),
            onServerRunning: { channel in
                // Hummingbird's own maximum stops accepting where it is reached: nobody is served any more, and nobody told.
                try? await channel.eventLoop.submit {
                    try channel.pipeline.syncOperations.addHandler(GateHandler(gate), position: .first)
                }.get()
                await onListening(channel.localAddress?.port ?? settings.port)
            },
            logger: logger)
    }
}
