import Catalog

/// An integration's mark: its initials on its colour. Brands' own logos are theirs; an operator adds them where he may.
enum LogoImage {
    static func svg(_ integration: Integration) -> [UInt8] {
        let words = integration.title.split(separator: " ").filter { $0.first?.isLetter ?? false }
        let initials =
            words.count > 1
            ? "\(words[0].prefix(1))\(words[1].prefix(1))".uppercased()
            : String(integration.title.prefix(1)).uppercased()
        let colour = integration.color.wholeMatch(of: /#[0-9a-fA-F]{6}/) == nil ? "#5a6661" : integration.color
        let ink = luminance(colour) > 0.45 ? "#111" : "#fff"
        let plain = initials.filter { $0.isLetter || $0.isNumber }
        return Array(
            """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><rect width="64" height="64" rx="16" \
            fill="\(colour)"/><text x="32" y="33" fill="\(ink)" font-family="system-ui,Segoe UI,Roboto,sans-serif" \
            font-size="\(plain.count > 1 ? 25 : 30)" font-weight="650" text-anchor="middle" \
            dominant-baseline="central">\(plain)</text></svg>
            """.utf8)
    }

    /// Relative luminance (WCAG 2.2) of `#rrggbb`.
    private static func luminance(_ colour: String) -> Double {
        let value = Int(colour.dropFirst(), radix: 16) ?? 0
        func channel(_ shift: Int) -> Double {
            let part = Double((value >> shift) & 0xff) / 255
            return part <= 0.03928 ? part / 12.92 : part * part * (0.4 + 0.6 * part)
        }
        return 0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
    }
}
