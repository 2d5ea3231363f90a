/// What administrators do with the fleet.
package struct FleetAdministration: Sendable {
    package let dataPlanes: DataPlaneService
    package let enrollment: EnrollmentService
    package let signingKeys: SigningKeyService

    package init(dataPlanes: DataPlaneService, enrollment: EnrollmentService, signingKeys: SigningKeyService) {
        self.dataPlanes = dataPlanes
        self.enrollment = enrollment
        self.signingKeys = signingKeys
    }
}
