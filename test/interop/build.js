// Builds the Go programs that the tests run. Needs Go; the modules come from Go's proxy.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const folder = fileURLToPath(new URL('../../.cache/bin/', import.meta.url))

/**
 * Builds a program of test/interop/go into `.cache/bin`, unless it is up to date there.
 * @param {'autocert' | 'dircache' | 'sqlcertcache'} name
 * @returns {Promise<string>} the program's path
 * @throws {Error} if Go is missing or cannot build it
 */
export async function buildGoProgram(name) {
  const program = join(folder, process.platform === 'win32' ? `${name}.exe` : name)
  const cwd = fileURLToPath(new URL(`go/${name}/`, import.meta.url))
  try {
    await promisify(execFile)('go', ['build', '-o', program, '.'], { cwd })
    return program
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error
    throw new Error(
      `Go is missing: test/interop/go/${name} is built with it. Get it from https://go.dev/dl/`,
      {
        cause: error,
      },
    )
  }
}
