/// Which addresses a request may connect to, judged after name resolution, for every socket. Who named the host decides.
package enum AddressPolicy: Sendable, Hashable {
    /// Public addresses only: for hosts that an end user or a provider's answer named.
    case publicOnly
    /// Public addresses and these CIDR blocks (`10.0.0.0/8`, `fd12::/16`, or one address): for hosts that the operator
    /// named. Metadata services (169.254.0.0/16, fd00:ec2::254 and their like) stay refused whatever is listed.
    case allowing(networks: [String])
    /// 127.0.0.0/8 and ::1 only, where plain http is allowed too: for the sandbox provider and tests.
    case loopbackOnly

    /// Whether plain http is as good as https here: it never leaves the machine.
    var staysOnMachine: Bool { self == .loopbackOnly }

    /// Throws `badRequest` that names the first entry of `allowing(networks:)` that is no CIDR block, so that configuration
    /// can be refused before the first request.
    package func validate() throws(EgressFailure) { _ = try AddressGuard(self) }
}
