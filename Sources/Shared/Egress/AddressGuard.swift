import CLibCurl

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The compiled form of an `AddressPolicy`, in memory that C code reads while sockets are opened.
final class AddressGuard: @unchecked Sendable {
    // Nothing changes between init and deinit.
    let pointer: UnsafeMutablePointer<evergrant_address_guard>
    private let networks: UnsafeMutableBufferPointer<evergrant_network>

    /// Throws `badRequest` when a network is no CIDR block.
    init(_ policy: AddressPolicy) throws(EgressFailure) {
        var blocks: [evergrant_network] = []
        let mode: evergrant_address_mode
        switch policy {
        case .publicOnly: mode = EVERGRANT_ADDRESS_PUBLIC_ONLY
        case .loopbackOnly: mode = EVERGRANT_ADDRESS_LOOPBACK_ONLY
        case .allowing(let names):
            mode = EVERGRANT_ADDRESS_ALLOWING
            for name in names {
                guard let block = Self.block(name) else {
                    throw EgressFailure(
                        .badRequest, "allowed network \"\(name)\" is no CIDR block; write 10.0.0.0/8 or fd12::/16")
                }
                blocks.append(block)
            }
        }
        networks = .allocate(capacity: blocks.count)
        _ = networks.initialize(from: blocks)
        pointer = .allocate(capacity: 1)
        pointer.initialize(
            to: evergrant_address_guard(
                mode: mode, networks: UnsafePointer(networks.baseAddress), network_count: blocks.count))
    }

    deinit {
        pointer.deallocate()
        networks.deallocate()
    }

    /// Reads `address` or `address/prefix`. A block of v4-mapped addresses becomes the IPv4 block it means.
    static func block(_ text: String) -> evergrant_network? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let name = parts.first else { return nil }
        var address = [UInt8](repeating: 0, count: 16)
        var length = 4
        if inet_pton(AF_INET, String(name), &address) != 1 {
            length = 16
            guard inet_pton(AF_INET6, String(name), &address) == 1 else { return nil }
        }
        var prefix = length * 8
        if parts.count == 2 {
            guard let bits = UInt8(parts[1]), bits <= prefix, parts[1].allSatisfy(\.isNumber) else { return nil }
            prefix = Int(bits)
        }
        let mapping: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
        if length == 16, prefix >= 96, address.starts(with: mapping) {
            address.removeFirst(12)
            address += [UInt8](repeating: 0, count: 12)
            length = 4
            prefix -= 96
        }
        var block = evergrant_network()
        block.length = UInt8(length)
        block.prefix = UInt8(prefix)
        withUnsafeMutableBytes(of: &block.bytes) { $0.copyBytes(from: address) }
        return block
    }
}
