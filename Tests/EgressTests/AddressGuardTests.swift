import CLibCurl
import Foundation
import Testing

@testable import Egress

@Suite
struct AddressGuardTests {
    /// Asks the C function about a sockaddr of `address`.
    private func permits(_ policy: AddressPolicy, _ address: String) throws -> Bool {
        let guardian = try AddressGuard(policy)
        var v4 = sockaddr_in()
        v4.sin_family = sa_family_t(AF_INET)
        if inet_pton(AF_INET, address, &v4.sin_addr) == 1 {
            return withUnsafePointer(to: &v4) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    evergrant_address_permitted(guardian.pointer, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        var v6 = sockaddr_in6()
        v6.sin6_family = sa_family_t(AF_INET6)
        try #require(inet_pton(AF_INET6, address, &v6.sin6_addr) == 1, "\(address)")
        return withUnsafePointer(to: &v6) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                evergrant_address_permitted(guardian.pointer, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
    }

    static let notPublic = [
        "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1",
        "127.255.255.255", "169.254.0.1", "169.254.169.254", "172.16.0.0", "172.31.255.255", "192.0.0.1", "192.0.2.1",
        "192.88.99.1", "192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.7", "203.0.113.7",
        "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16", "100.100.100.200",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0",
        "64:ff9b::a00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:10::1", "2001:20::1",
        "2001:db8::1", "2002:7f00:1::", "2002:808:808::", "3fff::1", "3fff:fff:ffff::1", "5f00::1", "fc00::1",
        "fd00::1", "fd00:ec2::254", "fd20:ce::254", "fdff::1", "fe80::1", "febf::1", "fec0::1", "ff02::1",
        "1fff::1", "4000::1",
    ]

    static let isPublic = [
        "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
        "128.0.0.1", "169.253.255.255", "169.255.0.1", "172.15.255.255", "172.32.0.0", "192.0.1.1", "192.167.255.255",
        "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "168.63.129.15", "::ffff:8.8.8.8",
        "2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700:4700::1111", "2a00:1450::1", "3ffe::1",
    ]

    @Test(arguments: notPublic)
    func `an address that is not public is refused under publicOnly`(address: String) throws {
        #expect(try !permits(.publicOnly, address))
        #expect(try !permits(.allowing(networks: []), address))
    }

    @Test(arguments: isPublic)
    func `a public address is permitted, except on loopback only`(address: String) throws {
        #expect(try permits(.publicOnly, address))
        #expect(try permits(.allowing(networks: ["10.0.0.0/8"]), address))
        #expect(try !permits(.loopbackOnly, address))
    }

    @Test func `an allowed network opens itself and nothing beside it`() throws {
        let policy = AddressPolicy.allowing(networks: ["10.1.2.0/23", "fd12:3456::/33", "192.168.7.7", "::1/128"])
        for inside in [
            "10.1.2.0", "10.1.3.255", "::ffff:10.1.2.9", "fd12:3456:7fff::1", "192.168.7.7", "::1", "8.8.8.8",
        ] {
            #expect(try permits(policy, inside), "\(inside)")
        }
        for outside in [
            "10.1.1.255", "10.1.4.0", "::ffff:10.1.4.0", "fd12:3456:8000::1", "192.168.7.8", "127.0.0.1", "::2",
        ] {
            #expect(try !permits(policy, outside), "\(outside)")
        }
    }

    @Test func `a block of mapped addresses means the IPv4 block`() throws {
        let policy = AddressPolicy.allowing(networks: ["::ffff:10.0.0.0/104"])
        #expect(try permits(policy, "10.200.0.1"))
        #expect(try permits(policy, "::ffff:10.200.0.1"))
        #expect(try !permits(policy, "11.0.0.1") == false, "11.0.0.1 is public")
        #expect(try !permits(policy, "192.168.0.1"))
    }

    @Test(arguments: [
        "169.254.169.254", "169.254.170.2", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
        "::169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16",
    ])
    func `metadata services stay refused when everything is allowed`(address: String) throws {
        let policy = AddressPolicy.allowing(networks: ["0.0.0.0/0", "::/0", address])
        #expect(try !permits(policy, address))
        #expect(try permits(policy, "10.0.0.1"))
        #expect(try permits(policy, "127.0.0.1"))
        #expect(try permits(policy, "::1"))
    }

    @Test func `an allowed NAT64 prefix opens public IPv4 addresses only`() throws {
        let policy = AddressPolicy.allowing(networks: ["64:ff9b::/96"])
        #expect(try permits(policy, "64:ff9b::808:808"))
        #expect(try !permits(policy, "64:ff9b::a00:1"))
        #expect(try !permits(policy, "64:ff9b::7f00:1"))
    }

    @Test func `loopback only means 127.0.0.0 slash 8 and colon colon 1`() throws {
        for inside in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            #expect(try permits(.loopbackOnly, inside), "\(inside)")
        }
        for outside in ["0.0.0.0", "10.0.0.1", "169.254.169.254", "::", "::127.0.0.1", "fd00::1", "::ffff:10.0.0.1"] {
            #expect(try !permits(.loopbackOnly, outside), "\(outside)")
        }
    }

    @Test func `families other than IPv4 and IPv6, and short addresses, are refused`() throws {
        let guardian = try AddressGuard(.allowing(networks: ["0.0.0.0/0", "::/0"]))
        var unix = sockaddr_un()
        unix.sun_family = sa_family_t(AF_UNIX)
        withUnsafePointer(to: &unix) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                #expect(
                    !evergrant_address_permitted(guardian.pointer, $0, socklen_t(MemoryLayout<sockaddr_un>.size)))
            }
        }
        var short = sockaddr()
        short.sa_family = sa_family_t(AF_INET6)
        #expect(!evergrant_address_permitted(guardian.pointer, &short, socklen_t(MemoryLayout<sockaddr>.size)))
        #expect(!evergrant_address_permitted(guardian.pointer, &short, 1))
    }

    @Test(arguments: [
        "", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/", "10.0.0/8", "10.0.0.0/8/8", "::/129",
        "example.com",
        "10.0.0.0 /8", "fe80::1%eth0/64",
    ])
    func `what is no CIDR block is refused by name`(text: String) {
        let failure = #expect(throws: EgressFailure.self) {
            try AddressPolicy.allowing(networks: ["10.0.0.0/8", text]).validate()
        }
        #expect(failure?.code == .badRequest)
        #expect(failure?.message.contains("\"\(text)\"") == true)
    }
}
