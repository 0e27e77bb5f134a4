import Foundation
import HTTPTypes
import Hummingbird
import Mustache
import NIOCore
import Vault

/// The pages users see, from the templates in `Assets/pages`.
struct PageRenderer: Sendable {
    private let library: MustacheLibrary
    let assets: Assets

    /// - Throws: when a template is missing or malformed: the build is broken, and start says so.
    init() throws {
        assets = try Assets()
        MustacheContentTypes.register(PageContentType(), named: "PAGE")
        var library = MustacheLibrary()
        for (name, text) in assets.templates {
            // In every template and partial: the library's own escaping works on characters, which lets a quote with a
            // combining mark through.
            try library.register("{{% CONTENT_TYPE:PAGE}}" + text, named: name)
        }
        self.library = library
    }

    /// A page; `values` are escaped, whatever they hold.
    func page(
        _ template: String, _ values: [String: Any], status: HTTPResponse.Status = .ok, cookie: String? = nil
    ) -> Response {
        var values = values
        values["version"] = assets.version
        let text = library.render(values, withTemplate: template) ?? ""
        var headers = Self.headers
        headers[.contentType] = "text/html; charset=utf-8"
        if let cookie { headers[.setCookie] = cookie }
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    /// A redirect within our own origin.
    static func redirect(to path: String) -> Response {
        var headers = headers
        headers[.location] = path
        return Response(status: .seeOther, headers: headers)
    }

    /// Nothing from elsewhere, nothing inline, no frame, no store, a referrer to ourselves only (under `no-referrer`
    /// browsers send `Origin: null` with our own forms: Fetch standard, "append a request Origin header"). `form-action` is ourselves only: pages
    /// leave for a provider by a refresh, since browsers apply `form-action` to redirects after a form as well.
    static let headers: HTTPFields = [
        .contentSecurityPolicy:
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
            + "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        .xContentTypeOptions: "nosniff",
        .known("Referrer-Policy"): "same-origin",
        .known("X-Frame-Options"): "DENY",
        .known("Cross-Origin-Opener-Policy"): "same-origin",
        .known("Cross-Origin-Resource-Policy"): "same-origin",
        .known("Permissions-Policy"): "camera=(), microphone=(), geolocation=(), payment=()",
        .cacheControl: "no-store",
    ]
}

/// Escapes byte by byte for text and for quoted attributes.
private struct PageContentType: MustacheContentType {
    func escapeText(_ text: String) -> String {
        var escaped: [UInt8] = []
        escaped.reserveCapacity(text.utf8.count + 16)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "<"): escaped += Array("&lt;".utf8)
            case UInt8(ascii: ">"): escaped += Array("&gt;".utf8)
            case UInt8(ascii: "&"): escaped += Array("&amp;".utf8)
            case UInt8(ascii: "\""): escaped += Array("&quot;".utf8)
            case UInt8(ascii: "'"): escaped += Array("&#39;".utf8)
            case UInt8(ascii: "`"): escaped += Array("&#96;".utf8)
            default: escaped.append(byte)
            }
        }
        return String(decoding: escaped, as: UTF8.self)
    }
}

/// Templates, style sheet, script and icon, read once at start.
struct Assets: Sendable {
    let templates: [String: String]
    let style: [UInt8]
    let script: [UInt8]
    let icon: [UInt8]
    let openAPI: [UInt8]
    /// The frame's modules, sheet and languages, by their path under `Assets/window`.
    let window: [String: [UInt8]]
    /// What an app's page loads, by file name: a folder that can be published as it is.
    let authkit: [String: [UInt8]]
    /// Changes with the files: they are cached for a year under it.
    let version: String

    init() throws {
        let root = Bundle.module.bundleURL.appending(path: "Assets")
        func read(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: root.appending(path: name))) }
        style = try read("connect.css")
        script = try read("connect.js")
        icon = try read("icon.svg")
        openAPI = try read("openapi.yaml")
        let window = try Self.folder(root.appending(path: "window"))
        let authkit = try Self.folder(root.appending(path: "authkit"))
        self.window = window
        self.authkit = authkit
        let all = window.keys.sorted().reduce(style + script) { $0 + (window[$1] ?? []) }
        version = String(Encoding.hex(Digest.sha256(all)).prefix(12))
        var templates: [String: String] = [:]
        let pages = root.appending(path: "pages")
        for name in try FileManager.default.contentsOfDirectory(atPath: pages.path) where name.hasSuffix(".mustache") {
            templates[String(name.dropLast(9))] = String(
                decoding: try Data(contentsOf: pages.appending(path: name)), as: UTF8.self)
        }
        self.templates = templates
    }

    /// Every file below `folder`, by its path there.
    private static func folder(_ folder: URL, below: String = "") throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        let names = try FileManager.default.contentsOfDirectory(
            at: folder, includingPropertiesForKeys: [.isDirectoryKey])
        for url in names {
            let name = below + url.lastPathComponent
            if try url.resourceValues(forKeys: [.isDirectoryKey]).isDirectory == true {
                files.merge(try Self.folder(url, below: name + "/")) { $1 }
            } else {
                files[name] = Array(try Data(contentsOf: url))
            }
        }
        return files
    }
}
