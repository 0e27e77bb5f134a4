import Connect

/// The embedded connect window, assembled: its documents, its calls, its images.
struct ConnectWindow {
    let pages: WindowPages
    let api: WindowAPI
    let logos: LogoRoutes
    let compatible: CompatibleWindow
    let tokens: CompatibleTokens
    let connections: CompatibleConnections

    init(services: FrontServices, options: FrontOptions, renderer: PageRenderer) throws {
        let cookie = BrowserCookie(publicURL: options.publicURL)
        let origin = try WebOrigin(of: options.publicURL, item: "front.public_url").description
        pages = WindowPages(services: services, renderer: renderer, cookie: cookie)
        api = WindowAPI(services: services, options: options, cookie: cookie, origin: origin)
        logos = LogoRoutes(services: services)
        compatible = CompatibleWindow(services: services, renderer: renderer)
        tokens = CompatibleTokens(services: services, publicURL: options.publicURL, bodyLimit: options.maximumBodyBytes)
        connections = CompatibleConnections(services: services, bodyLimit: options.maximumBodyBytes)
    }

    func addRoutes(to routes: APIRoutes) {
        pages.addRoutes(to: routes.router)
        api.addRoutes(to: routes.router)
        logos.addRoutes(to: routes.router)
        LogosController(services: logos.services).addRoutes(to: routes)
        compatible.addRoutes(to: routes.router)
        tokens.addRoutes(to: routes)
        connections.addRoutes(to: routes)
    }
}
