import { toError } from './errors.js'

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

/**
 * Imports a dependency on demand.
 * @throws {Error} that says how to bundle it; an error of the system, such as EMFILE, as it is
 */
export async function importDependency<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (thrown) {
    if (Object(thrown).errno !== undefined) throw thrown
    const advice = `If this program is a bundle, mark "${name}" as external and install it next to the bundle.`
    throw new Error(`cannot load "${name}": ${toError(thrown).message}. ${advice}`, { cause: thrown })
  }
}
