/** Returns a shared promise. The first call starts to load the value. */
export interface Lazy<T> {
  (): Promise<T>
  /** The shared promise, if loading has started. */
  readonly current: Promise<T> | undefined
  /** Forgets the value: the next call loads it again. */
  forget(): void
}

/** Calls `load` once, on demand. Forgets a rejection, so that the next call loads again. */
export function lazy<T>(load: () => Promise<T>): Lazy<T> {
  const start = () => {
    const loading = load()
    get.current = loading
    loading.catch(() => {
      if (get.current === loading) get.forget()
    })
    return loading
  }
  const get = Object.assign(() => get.current ?? start(), {
    current: undefined as Promise<T> | undefined,
    forget() {
      get.current = undefined
    },
  })
  return get
}
