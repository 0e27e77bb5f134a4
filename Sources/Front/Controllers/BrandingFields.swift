import Credentials
import Store

/// `branding` of `PATCH /v1/environment`: it replaces what was there; `{}` is our own look again.
struct BrandingFields: Codable, Sendable {
    struct Palette: Codable, Sendable {
        var accent: String?
        var on_accent: String?
        var background: String?
        var text: String?
    }

    var light: Palette?
    var dark: Palette?
    var theme: String?
    var radius: Int?
    var font: String?
    var footer: String?
    var title: String?
    var intro: String?

    /// Our own colours, which stand in for those that are left out when contrast is measured.
    private static let light = Palette(accent: "#17694e", background: "#ffffff", text: "#18211d")
    private static let dark = Palette(accent: "#5fc79f", background: "#161c19", text: "#e9efec")

    init(_ branding: Branding) {
        light = branding.light.map(Palette.init)
        dark = branding.dark.map(Palette.init)
        theme = branding.theme
        radius = branding.radius
        font = branding.font
        footer = branding.footer
        title = branding.title
        intro = branding.intro
    }

    /// - Throws: ``HTTPProblem`` with every fault, unreadable pairs of colours among them.
    func checked() throws(HTTPProblem) -> Branding {
        var faults: [HTTPProblem.Fault] = []
        func fault(_ field: String, _ problem: String) {
            faults.append(HTTPProblem.Fault(field: "branding.\(field)", problem: problem))
        }
        for (name, palette, standard) in [("light", light, Self.light), ("dark", dark, Self.dark)] {
            guard let palette else { continue }
            for (field, problem) in palette.faults(beside: standard) { fault("\(name).\(field)", problem) }
        }
        if let theme, !["light", "dark", "system"].contains(theme) { fault("theme", "is not light, dark or system") }
        if let radius, !(0...32).contains(radius) { fault("radius", "is not a number from 0 to 32") }
        if let font, font.wholeMatch(of: /[A-Za-z0-9 ,'"\-]{1,200}/) == nil || !Self.isBalanced(font) {
            fault("font", "is not a CSS list of font families: letters, digits, spaces, commas, hyphens and quotes")
        }
        for (name, text, limit) in [("footer", footer, 200), ("title", title, 100), ("intro", intro, 300)] {
            guard let text else { continue }
            if text.count > limit { fault(name, "is longer than \(limit) characters") }
            if text.unicodeScalars.contains(where: { $0.value < 0x20 }) { fault(name, "has control characters") }
        }
        guard faults.isEmpty else { throw .invalid(faults) }
        var branding = Branding()
        branding.light = light?.stored
        branding.dark = dark?.stored
        branding.theme = theme
        branding.radius = radius
        branding.font = font
        branding.footer = footer
        branding.title = title
        branding.intro = intro
        return branding
    }

    private static func isBalanced(_ font: String) -> Bool {
        font.count { $0 == "'" }.isMultiple(of: 2) && font.count { $0 == "\"" }.isMultiple(of: 2)
    }
}

extension BrandingFields.Palette {
    init(_ palette: Branding.Palette) {
        self.init(
            accent: palette.accent, on_accent: palette.onAccent, background: palette.background, text: palette.text)
    }

    var stored: Branding.Palette {
        Branding.Palette(accent: accent, onAccent: on_accent, background: background, text: text)
    }

    /// Malformed colours, and pairs that people cannot read (WCAG 2.2: 4.5 to 1 for text, 3 to 1 for controls).
    fileprivate func faults(beside standard: Self) -> [(String, String)] {
        let named = [("accent", accent), ("on_accent", on_accent), ("background", background), ("text", text)]
        let malformed = named.filter { $0.1.map { $0.wholeMatch(of: /#[0-9a-fA-F]{6}/) == nil } ?? false }
        guard malformed.isEmpty else { return malformed.map { ($0.0, "is not a colour such as #1a2b3c") } }
        let accent = accent ?? standard.accent ?? "#000000"
        let background = background ?? standard.background ?? "#ffffff"
        let text = text ?? standard.text ?? "#000000"
        let pairs: [(String, String, String, Double)] = [
            ("on_accent", on_accent ?? Contrast.ink(on: accent), accent, 4.5),
            // Quieter text is mixed from this one, at 85 % and more: so that it reads, too.
            ("text", text, background, 7),
            ("accent", accent, background, 3),
        ]
        return pairs.compactMap { field, one, other, least in
            let ratio = Contrast.ratio(one, other)
            guard ratio < least else { return nil }
            let told = (ratio * 10).rounded(.down) / 10
            return (field, "has a contrast of \(told) to 1 (\(one) on \(other)); it needs \(least) to 1")
        }
    }
}
