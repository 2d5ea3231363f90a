/// What administrators do with the fleet.
package struct FleetAdministration: Sendable {
    package let dataPlanes: DataPlaneService
    package let enrollment: EnrollmentService
    package let signingKeys: SigningKeyService
    package let endpointReports: EndpointReportService

    package init(
        dataPlanes: DataPlaneService, enrollment: EnrollmentService, signingKeys: SigningKeyService, endpointReports: EndpointReportService
    ) {
        self.dataPlanes = dataPlanes
        self.enrollment = enrollment
        self.signingKeys = signingKeys
        self.endpointReports = endpointReports
    }
}
