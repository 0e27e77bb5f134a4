import Foundation
import Testing

@testable import Vault

@Suite struct EncodingTests {
    @Test func `each encoding reads back what it wrote`() {
        for length in 0...67 {
            let bytes = SecureRandom.bytes(length)
            #expect(Encoding.bytes(hex: Encoding.hex(bytes)) == bytes)
            #expect(Encoding.bytes(base64: Encoding.base64(bytes)) == bytes)
            #expect(Encoding.bytes(base64url: Encoding.base64url(bytes)) == bytes)
        }
    }

    @Test func `base64url uses its own alphabet and no padding`() {
        #expect(Encoding.base64url([0xfb, 0xff, 0xbf, 0xff]) == "-_-__w")
        #expect(Encoding.hex([0x00, 0xaf, 0x10]) == "00af10")
        #expect(Encoding.bytes(hex: "00AF10") == [0x00, 0xaf, 0x10])
    }

    @Test(arguments: ["Zg=", "Zg", "Zh==", "Zg==\n", " Zg==", "Z g=", "Zm9v!A==", "-_-_"])
    func `base64 that is spelled in any other way is refused`(_ text: String) {
        #expect(Encoding.bytes(base64: text) == nil)
    }

    @Test(arguments: ["Zg==", "Zh", "Z", "+/+/", "Zg\n", "Zg "])
    func `base64url that is spelled in any other way is refused`(_ text: String) {
        #expect(Encoding.bytes(base64url: text) == nil)
    }

    @Test(arguments: ["0", "0g", "0x00", " 00", "é0"])
    func `hexadecimal that is spelled in any other way is refused`(_ text: String) {
        #expect(Encoding.bytes(hex: text) == nil)
    }

    @Test func `random tokens have the promised length and do not repeat`() {
        #expect(SecureRandom.token().count == 43)
        #expect(SecureRandom.hex().count == 32)
        #expect(SecureRandom.bytes(0).isEmpty)
        #expect(Set((0..<1000).map { _ in SecureRandom.token() }).count == 1000)
    }
}
