import HTTPTypes

extension HTTPField.Name {
    /// A field name that the code writes out.
    static func known(_ name: StaticString) -> HTTPField.Name {
        guard let made = HTTPField.Name("\(name)") else { preconditionFailure("\(name) is not a field name") }
        return made
    }

    static let evergrantConnection = known("Evergrant-Connection")
    static let evergrantIdentity = known("Evergrant-Identity")
    /// On a 401 that goes down although the connection was refreshed: send the call again.
    static let evergrantRefreshed = known("Evergrant-Refreshed")
    /// The code of a problem that is ours, so that it cannot be taken for the provider's answer.
    static let evergrantError = known("Evergrant-Error")

    /// The headers of the public AuthKit packages.
    static let picaSecret = known("X-Pica-Secret")
    static let oneSecret = known("X-One-Secret")
    static let picaConnectionKey = known("X-Pica-Connection-Key")
}
