import { closeSync, openSync } from 'node:fs'
import { createRequire } from 'node:module'
import { devNull } from 'node:os'
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

/** Number of file descriptors that must be free before a dependency is loaded: Node reads its files one by one. */
const freeDescriptors = 16

/**
 * Imports a dependency on demand. A failure for lack of file descriptors or memory does not last: the next call loads it.
 * @throws {Error} that says how to bundle it; an error of the system, such as EMFILE, as it is
 */
export async function importDependency<T>(name: string, load: () => Promise<T>): Promise<T> {
  // A package.json that Node 20 cannot open counts as missing for the life of the process.
  assertFreeDescriptors()
  try {
    return await load()
  } catch (thrown) {
    assertFreeDescriptors()
    // Every version of Node keeps a failed import(), but not a failed require().
    const required = requireDependency<T>(name)
    if (required !== undefined) return required
    if (Object(thrown).errno !== undefined) throw thrown
    const advice = `If this program is a bundle, mark "${name}" as external and install it next to the bundle.`
    throw new Error(`cannot load "${name}": ${toError(thrown).message}. ${advice}`, { cause: thrown })
  }
}

/** Returns `undefined` if the module cannot be loaded, for example from a bundle. */
function requireDependency<T>(name: string): T | undefined {
  try {
    return createRequire(import.meta.url)(name) as T
  } catch {
    return undefined
  }
}

/** @throws {Error} `EMFILE` or `ENFILE` if this process, or this machine, is out of file descriptors */
function assertFreeDescriptors(): void {
  const opened: number[] = []
  try {
    while (opened.length < freeDescriptors) opened.push(openSync(devNull, 'r'))
  } catch (thrown) {
    // Any other error says nothing about descriptors.
    if (['EMFILE', 'ENFILE'].includes(Object(thrown).code)) throw thrown
  } finally {
    for (const descriptor of opened) closeSync(descriptor)
  }
}
