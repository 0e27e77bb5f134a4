import Connect

/// The embedded connect window, assembled: its documents, its calls, its images.
struct ConnectWindow {
    let pages: WindowPages
    let api: WindowAPI
    let logos: LogoRoutes

    init(services: FrontServices, options: FrontOptions, renderer: PageRenderer) throws {
        let cookie = BrowserCookie(publicURL: options.publicURL)
        let origin = try WebOrigin(of: options.publicURL, item: "front.public_url").description
        pages = WindowPages(services: services, renderer: renderer, cookie: cookie)
        api = WindowAPI(services: services, options: options, cookie: cookie, origin: origin)
        logos = LogoRoutes(services: services)
    }

    func addRoutes(to routes: APIRoutes) {
        pages.addRoutes(to: routes.router)
        api.addRoutes(to: routes.router)
        logos.addRoutes(to: routes.router)
    }
}
