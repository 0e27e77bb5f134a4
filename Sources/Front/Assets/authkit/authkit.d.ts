/** What the page is told of a new connection. `key` is what the app's backend calls the provider with. */
export interface AuthKitConnection {
  id: string;
  key: string;
  integration: string;
  environment: "test" | "live";
  identity: string;
  identity_type: "user" | "team" | "organization" | "project";
  name: string;
  tags: string[];
  account: string | null;
  state: string;
  /** When the connection came into its state: RFC 3339. */
  since: string;
}

export interface AuthKitFailure {
  /** Stable; docs/connect.md lists them. */
  code: string;
  /** For a developer. */
  message: string;
  /** Whether the user may succeed by trying again. */
  retryable: boolean;
}

export interface AuthKitEndpoint {
  url: string;
  /** Sent to `url`, and nowhere else. */
  headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>);
  /** Default: same-origin. */
  credentials?: RequestCredentials;
}

export interface AuthKitOptions {
  /** The app's backend: answers POST with what POST /v1/sessions with `kind: "embedded"` answered. */
  token: AuthKitEndpoint;
  /** The app's backend: takes `{session, code}` after a sign-in in the whole window, and calls POST /v1/sessions/{id}/finish. */
  finish?: AuthKitEndpoint;
  onSuccess?: (connection: AuthKitConnection) => void;
  onError?: (failure: AuthKitFailure) => void;
  onClose?: () => void;
  onLoading?: (isLoading: boolean) => void;
  /** Default: the environment's, else system. */
  theme?: "light" | "dark" | "system";
  /** Over the list. */
  title?: string;
  /** A raster image that this page may read (same origin, or CORS). */
  imageUrl?: string;
  companyName?: string;
  /** Id or title: opens that integration at once. */
  selectedIntegration?: string;
  /** Asks the user to name the connection. Default: false. */
  showNameInput?: boolean;
  /** Where the provider's sign-in opens. Default: popup. */
  authWindow?: "popup" | "same";
  /** en, de, es, fr, ja, pt-BR. Default: the browser's. */
  language?: string;
  /** Default: the language's. */
  direction?: "ltr" | "rtl";
  /** Id or name of the environment: lets the window load while the token is fetched. */
  environment?: string;
  /** The front. Default: where this module was loaded from. */
  baseUrl?: string;
  /** Milliseconds to wait for the window. Default: 15000. */
  patience?: number;
}

export declare class AuthKitError extends Error {
  readonly code: string;
  readonly retryable: boolean;
}

export declare class AuthKit {
  constructor(options: AuthKitOptions);
  readonly isLoading: boolean;
  set options(options: AuthKitOptions);
  open(): void;
  close(): void;
}
