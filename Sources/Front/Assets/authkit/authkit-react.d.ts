import type { AuthKitOptions } from "./authkit.js";

export declare function useAuthKit(options: AuthKitOptions): {
  open: () => void;
  close: () => void;
  isLoading: boolean;
};
