// The connect window as a React hook: `const { open, close, isLoading } = useAuthKit(options)`.
import { useCallback, useEffect, useRef, useState } from "react";
import { AuthKit } from "./authkit.js";

export function useAuthKit(options) {
  const latest = useRef(options);
  const kit = useRef(null);
  const [isLoading, setLoading] = useState(false);
  latest.current = options;

  // Callbacks are read when they are called, so that a render's newest ones are used.
  const wrapped = () => ({
    ...latest.current,
    onSuccess: (connection) => latest.current.onSuccess?.(connection),
    onError: (failure) => latest.current.onError?.(failure),
    onClose: () => latest.current.onClose?.(),
    onLoading: (value) => { setLoading(value); latest.current.onLoading?.(value); },
  });

  // Made on mount, not on the first click: a sign-in in the whole window comes back to a page that was just loaded.
  useEffect(() => {
    kit.current ??= new AuthKit(wrapped());
    return () => kit.current?.close();
  }, []);

  const open = useCallback(() => {
    kit.current ??= new AuthKit(wrapped());
    kit.current.options = wrapped();
    kit.current.open();
  }, []);
  const close = useCallback(() => kit.current?.close(), []);
  return { open, close, isLoading };
}
