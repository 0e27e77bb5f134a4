import Credentials

/// Makes texts of providers safe to log, store and show: token endpoints have quoted the very tokens they refused.
package enum Redaction {
    static let mark = "<redacted>"

    /// Replaces e-mail addresses and every run of 16 or more token characters that is not made of plain words, after
    /// the exact `secrets`. Line breaks become spaces; at most `limit` characters are kept.
    package static func redact(_ text: String, hiding secrets: [Secret] = [], limit: Int = 200) -> String {
        var text = text
        for secret in secrets where secret.count >= 4 {
            secret.withText { plain in
                text = text.split(separator: plain, omittingEmptySubsequences: false)
                    .joined(separator: mark)
            }
        }
        let words = text.split(omittingEmptySubsequences: false, whereSeparator: \.isWhitespace).map(redact(word:))
        let joined = words.joined(separator: " ").filter { !($0.unicodeScalars.contains { $0.value < 0x20 }) }
        return joined.count > limit ? joined.prefix(limit) + "…" : joined
    }

    /// An error code: kept when it is plain words and numbers, else redacted.
    package static func code(_ code: String, hiding secrets: [Secret] = []) -> String {
        redact(code, hiding: secrets, limit: 80)
    }

    private static func redact(word: Substring) -> String {
        if word == mark { return mark }
        if let at = word.firstIndex(of: "@"), at != word.startIndex, word.index(after: at) != word.endIndex {
            return mark
        }
        var result = ""
        var run = ""
        func flush() {
            result += run.utf8.count >= 16 && !isWords(run) ? mark : run
            run = ""
        }
        for character in word {
            if isTokenCharacter(character) {
                run.append(character)
            } else {
                flush()
                result.append(character)
            }
        }
        flush()
        return result
    }

    private static func isTokenCharacter(_ character: Character) -> Bool {
        character.isASCII && (character.isLetter || character.isNumber || "+/=_.~%-".contains(character))
    }

    /// `invalid_grant`, `BAD_REFRESH_TOKEN`, `InvalidAuthenticationToken`, `expired access/refresh`: letters only, in
    /// parts that read as words. Random text has digits, or capitals in the middle of short parts.
    private static func isWords(_ run: String) -> Bool {
        run.split(whereSeparator: { "_.-/=".contains($0) }).allSatisfy { part in
            guard part.count <= 40, part.allSatisfy(\.isLetter) else { return false }
            if part.allSatisfy(\.isLowercase) || part.allSatisfy(\.isUppercase) { return part.count <= 15 }
            var length = 3
            for letter in part {
                if letter.isUppercase {
                    if length < 3 { return false }
                    length = 1
                } else {
                    length += 1
                    if length > 15 { return false }
                }
            }
            return length >= 3
        }
    }
}
