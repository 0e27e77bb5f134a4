/// Deterministic spreading: the same key always lands on the same fraction of a window, and many keys fill it evenly.
package enum Spreading {
    /// A fraction in `0 ..< 1` for `key` (FNV-1a, then a 64-bit finaliser: cheap, stable over builds and machines).
    package static func fraction(of key: some Sequence<UInt8>) -> Double {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in key { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        hash ^= hash >> 33
        hash = hash &* 0xff51_afd7_ed55_8ccd
        hash ^= hash >> 33
        hash = hash &* 0xc4ce_b9fe_1a85_ec53
        hash ^= hash >> 33
        return Double(hash >> 11) / Double(1 << 53)
    }
}
