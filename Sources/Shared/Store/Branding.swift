/// How an environment's connect window looks: all optional, the defaults are ours.
///
/// Values are checked when they are saved, by the front; what stands here is safe to write into a style sheet.
package struct Branding: Sendable, Hashable, Codable {
    /// The colours of one scheme, each `#rrggbb`.
    package struct Palette: Sendable, Hashable, Codable {
        /// Buttons, links, focus.
        package var accent: String?
        /// Text on the accent; nil: black or white, whichever reads better.
        package var onAccent: String?
        /// The window's ground.
        package var background: String?
        /// Its text.
        package var text: String?

        package init(
            accent: String? = nil, onAccent: String? = nil, background: String? = nil, text: String? = nil
        ) {
            self.accent = accent
            self.onAccent = onAccent
            self.background = background
            self.text = text
        }
    }

    package var light: Palette?
    package var dark: Palette?
    /// `light`, `dark` or `system`; nil: system, unless the page asks for another.
    package var theme: String?
    /// Corners, in CSS pixels: 0 to 32.
    package var radius: Int?
    /// A CSS list of families that the user's machine has; nothing is loaded.
    package var font: String?
    /// The line under the window; empty: none; nil: ours.
    package var footer: String?
    /// Over the list; nil: in the user's language.
    package var title: String?
    /// Under the title; nil: in the user's language.
    package var intro: String?

    package init() {}
}
