/// The pages a person sees: plain HTML, no script.
enum ProviderPage {
    /// Asks who the user is and whether the client may have what it asks for.
    /// - Parameter query: The authorization request as it came; the form posts it back.
    static func consent(
        client: String, providerClass: ProviderClass, scope: String?, account: String, known: [String], query: String
    ) -> String {
        let scopes = (scope ?? "").split(separator: " ")
        let list =
            scopes.isEmpty
            ? "<p class=\"quiet\">It asks for no particular scope.</p>"
            : "<ul>" + scopes.map { "<li>\(escape(String($0)))</li>" }.joined() + "</ul>"
        let suggestions = known.map { "<option value=\"\(escape($0))\"></option>" }.joined()
        return document(
            title: "Allow \(client)?",
            """
            <p class="brand">Sandbox <span>\(escape(providerClass.rawValue))</span></p>
            <h1><b>\(escape(client))</b> wants access to your account</h1>
            \(list)
            <form method="post" action="?\(escape(query))">
            <label for="account">Account</label>
            <input id="account" name="account" type="text" inputmode="email" autocomplete="off" spellcheck="false"
             required maxlength="254" value="\(escape(account))" list="known" autofocus>
            <datalist id="known">\(suggestions)</datalist>
            <p class="quiet">Any address will do: this provider is for tests, and each address is an account of its own.</p>
            <div class="row">
            <button name="decision" value="allow" class="main">Allow</button>
            <button name="decision" value="deny" formnovalidate>Deny</button>
            </div>
            </form>
            """)
    }

    /// Asks for which account a key is wanted.
    static func newKey(account: String) -> String {
        document(
            title: "Make an API key",
            """
            <p class="brand">Sandbox <span>key</span></p>
            <h1>Make an API key</h1>
            <form method="post" action="/key">
            <label for="account">Account</label>
            <input id="account" name="account" type="text" inputmode="email" autocomplete="off" spellcheck="false"
             required maxlength="254" value="\(escape(account))" autofocus>
            <p class="quiet">Any address will do: this provider is for tests.</p>
            <div class="row"><button class="main">Make a key</button></div>
            </form>
            """)
    }

    /// Shows a new key.
    static func key(_ value: String, account: String) -> String {
        document(
            title: "Your API key",
            """
            <p class="brand">Sandbox <span>key</span></p>
            <h1>API key of <b>\(escape(account))</b></h1>
            <p><code id="key">\(escape(value))</code></p>
            <p class="quiet">Send it as x-api-key to /key/api.</p>
            """)
    }

    /// Says why a request cannot be answered.
    static func fault(_ reason: String) -> String {
        document(
            title: "This request cannot be answered",
            """
            <p class="brand">Sandbox</p>
            <h1>This request cannot be answered</h1>
            <p>\(escape(reason))</p>
            """)
    }

    private static func document(title: String, _ body: String) -> String {
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>\(escape(title))</title>
        <style>\(style)</style>
        </head>
        <body>
        <main>
        \(body)
        </main>
        </body>
        </html>
        """
    }

    private static let style = """
        :root { color-scheme: light dark; --ink: #1c2024; --quiet: #60646c; --paper: #fff; --ground: #f0f1f3;
          --line: #c9ccd1; --main: #3a5bc7; --on-main: #fff; }
        @media (prefers-color-scheme: dark) { :root { --ink: #edeef0; --quiet: #a5a9b0; --paper: #1d1f22;
          --ground: #111214; --line: #474b52; --main: #849dff; --on-main: #10131c; } }
        * { box-sizing: border-box; }
        body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;
          background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
        main { width: 100%; max-width: 26rem; padding: 2rem; background: var(--paper); border: 1px solid var(--line);
          border-radius: .75rem; overflow-wrap: anywhere; }
        h1 { margin: 0 0 1rem; font-size: 1.25rem; line-height: 1.35; font-weight: 500; }
        ul { margin: 0 0 1rem; padding-left: 1.25rem; }
        label { display: block; margin-top: 1.5rem; font-weight: 600; }
        input, button { width: 100%; padding: .65rem .8rem; font: inherit; color: inherit; background: transparent;
          border: 1px solid var(--line); border-radius: .5rem; }
        input:focus-visible, button:focus-visible { outline: 3px solid var(--main); outline-offset: 1px; }
        button { cursor: pointer; font-weight: 600; }
        .main { background: var(--main); border-color: var(--main); color: var(--on-main);
          order: 1; } /* first in the document, so that Enter allows */
        .row { display: grid; grid-auto-flow: column; grid-auto-columns: 1fr; gap: .75rem; margin-top: 1.25rem; }
        .quiet { margin: .5rem 0 0; color: var(--quiet); font-size: .875rem; }
        .brand { margin: 0 0 1.25rem; font-weight: 600; color: var(--quiet); }
        .brand span { padding: .1rem .5rem; border: 1px solid var(--line); border-radius: 1rem; font-size: .8rem; }
        """

    /// Text made safe for HTML, in elements and quoted attributes.
    static func escape(_ text: String) -> String {
        var safe = ""
        for character in text.unicodeScalars {
            switch character {
            case "&": safe += "&amp;"
            case "<": safe += "&lt;"
            case ">": safe += "&gt;"
            case "\"": safe += "&quot;"
            case "'": safe += "&#39;"
            default: safe.unicodeScalars.append(character)
            }
        }
        return safe
    }
}
