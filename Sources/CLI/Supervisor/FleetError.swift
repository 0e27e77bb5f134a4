/// Why the fleet could not be started.
struct FleetError: Error, CustomStringConvertible {
    let description: String
    /// Of sysexits.h.
    let status: Int32

    init(_ description: String, status: Int32 = 1) {
        self.description = description
        self.status = status
    }
}
