import Foundation
import Store
import Vault

/// An environment's look as a style sheet of custom properties; empty where nothing was changed.
struct BrandSheet {
    let text: String

    /// Changes with the text.
    var version: String { String(Encoding.hex(Digest.sha256(text)).prefix(12)) }

    /// Where browsers find it.
    static func path(_ environment: EnvironmentRecord) -> String {
        "/e/\(environment.uid)/brand.css?v=\(BrandSheet(environment.branding).version)"
    }

    init(_ branding: Branding) {
        var shared: [String] = []
        if let radius = branding.radius { shared.append("--radius:\(radius)px") }
        if let font = branding.font { shared.append("--font:\(font)") }
        let light = Self.rules(branding.light)
        let dark = Self.rules(branding.dark)
        var text = ""
        if !(shared + light).isEmpty { text += ":root{\((shared + light).joined(separator: ";"))}\n" }
        if !dark.isEmpty {
            let rules = dark.joined(separator: ";")
            text += "@media (prefers-color-scheme:dark){:root:not([data-theme=light]){\(rules)}}\n"
            text += ":root[data-theme=dark]{\(rules)}\n"
        }
        self.text = text
    }

    private static func rules(_ palette: Branding.Palette?) -> [String] {
        guard let palette else { return [] }
        var rules: [String] = []
        if let accent = palette.accent {
            let ink = palette.onAccent ?? Contrast.ink(on: accent)
            rules += [
                "--accent:\(accent)", "--accent-ink:\(ink)",
                "--accent-soft:color-mix(in srgb,\(accent) 14%,var(--card))",
            ]
        } else if let ink = palette.onAccent {
            rules.append("--accent-ink:\(ink)")
        }
        if let background = palette.background { rules += ["--card:\(background)", "--field:\(background)"] }
        if let text = palette.text {
            rules += [
                "--ink:\(text)", "--soft:color-mix(in srgb,\(text) 92%,var(--card))",
                "--faint:color-mix(in srgb,\(text) 85%,var(--card))",
                "--line:color-mix(in srgb,\(text) 16%,var(--card))",
            ]
        }
        return rules
    }
}

/// Contrast of colours (WCAG 2.2, "contrast ratio" and "relative luminance").
enum Contrast {
    /// 1 to 21; both `#rrggbb`.
    static func ratio(_ one: String, _ other: String) -> Double {
        let (a, b) = (luminance(one), luminance(other))
        return (max(a, b) + 0.05) / (min(a, b) + 0.05)
    }

    /// Black or white, whichever reads better on `colour`.
    static func ink(on colour: String) -> String {
        ratio(colour, "#ffffff") >= ratio(colour, "#000000") ? "#ffffff" : "#000000"
    }

    static func luminance(_ colour: String) -> Double {
        let value = Int(colour.dropFirst(), radix: 16) ?? 0
        func channel(_ shift: Int) -> Double {
            let part = Double((value >> shift) & 0xff) / 255
            return part <= 0.04045 ? part / 12.92 : pow((part + 0.055) / 1.055, 2.4)
        }
        return 0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
    }
}
