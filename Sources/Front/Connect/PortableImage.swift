import Credentials

/// A PNG, taken apart and written anew (PNG specification, third edition, §5): the chunks that make the picture, in order
/// and with right checksums, and nothing else. What people hide in files (text, profiles, further data behind the end)
/// does not come along; a file that is anything but a PNG is refused.
struct PortableImage {
    static let signature: [UInt8] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]
    static let largestSide = 1024
    static let largestFile = 131_072
    private static let kept: Set<String> = ["IHDR", "PLTE", "tRNS", "IDAT", "IEND"]

    let bytes: [UInt8]

    /// - Throws: ``InvalidValue`` that says what is wrong with the file.
    init(_ file: [UInt8]) throws(InvalidValue) {
        func refuse(_ problem: String) -> InvalidValue {
            InvalidValue(
                item: "logo", problem: problem,
                repair: "send a PNG of at most \(Self.largestSide) pixels a side and \(Self.largestFile / 1024) KiB")
        }
        guard file.count <= Self.largestFile else { throw refuse("is too large") }
        guard file.starts(with: Self.signature) else { throw refuse("is not a PNG") }
        var made = Self.signature
        var at = Self.signature.count
        var seen: [String] = []
        while seen.last != "IEND" {
            guard at + 12 <= file.count else { throw refuse("ends early") }
            let length = Int(Self.number(file[at..<at + 4]))
            guard length <= file.count - at - 12 else { throw refuse("ends early") }
            let name = String(decoding: file[at + 4..<at + 8], as: UTF8.self)
            let body = file[at + 4..<at + 8 + length]
            guard Checksum.crc32(body) == Self.number(file[at + 8 + length..<at + 12 + length]) else {
                throw refuse("is damaged")
            }
            if seen.isEmpty {
                guard name == "IHDR", length == 13 else { throw refuse("has no header") }
                let (width, height) = (Self.number(file[at + 8..<at + 12]), Self.number(file[at + 12..<at + 16]))
                guard (1...UInt32(Self.largestSide)).contains(width), (1...UInt32(Self.largestSide)).contains(height)
                else { throw refuse("is \(width) by \(height) pixels") }
            } else if name == "IHDR" {
                throw refuse("has two headers")
            }
            // A critical chunk that we do not know would change the picture; others are left out.
            if !Self.kept.contains(name), file[at + 4] & 0x20 == 0 { throw refuse("has parts of an unknown kind") }
            if Self.kept.contains(name) { made += file[at..<at + 12 + length] }
            seen.append(name)
            at += 12 + length
        }
        guard seen.contains("IDAT") else { throw refuse("has no picture") }
        bytes = made
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 { bytes.reduce(0) { $0 << 8 | UInt32($1) } }
}

/// The checksum of PNG chunks (ISO 3309, as its specification's annex D has it).
enum Checksum {
    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 1 ? 0xedb8_8320 ^ (value >> 1) : value >> 1 }
    }

    static func crc32(_ bytes: some Sequence<UInt8>) -> UInt32 {
        bytes.reduce(0xffff_ffff) { table[Int(($0 ^ UInt32($1)) & 0xff)] ^ ($0 >> 8) } ^ 0xffff_ffff
    }
}
