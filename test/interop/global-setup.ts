import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    /** The program that interop/ is built to. */
    goProgram: string
  }
}

/** Builds the Go side, once for the run. */
export default async function setup(project: TestProject) {
  const folder = await mkdtemp(join(tmpdir(), 'interop-'))
  const remove = () => rm(folder, { recursive: true, force: true })
  const program = join(folder, process.platform === 'win32' ? 'interop.exe' : 'interop')
  const cwd = new URL('go/autocert/', import.meta.url)
  try {
    await promisify(execFile)('go', ['build', '-o', program, '.'], { cwd })
  } catch (error) {
    await remove()
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new Error('Go is missing: the interop tests build interop/ with it. Get it from https://go.dev/dl/')
  }
  project.provide('goProgram', program)
  return remove
}
